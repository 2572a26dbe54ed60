import json
import re
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.problems import NUM_EXAMPLES, Problem, ProblemKind, open_problem_log
from mxqvae.errors import MxqvaeError


def test_counts_and_lines(tmp_path: Path):
    path = tmp_path / "problems.jsonl"
    with open_problem_log(path, strict=False) as log:
        for number in range(NUM_EXAMPLES + 2):
            log.add(Problem(ProblemKind.EMPTY, f"{number}.png"))
        log.add(Problem(ProblemKind.TINY, "größe.png", "1 x 1 pixels"))
    counts = log.counts()
    assert {key: count.num for key, count in counts.items()} == {"tiny": 1, "empty": NUM_EXAMPLES + 2}
    assert counts["empty"].examples == ("0.png", "1.png", "2.png", "3.png", "4.png")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == NUM_EXAMPLES + 3
    assert json.loads(lines[-1]) == {"kind": "tiny", "name": "größe.png", "detail": "1 x 1 pixels"}


@pytest.mark.parametrize("kind", ProblemKind)
def test_strict_stops_on_every_kind(tmp_path: Path, kind: ProblemKind):
    message = f"a.png: {kind.title} (why); fix it, or leave out --strict (then: {kind.remedy})"
    with (
        open_problem_log(tmp_path / "problems.jsonl", strict=True) as log,
        pytest.raises(MxqvaeError, match=re.escape(message)),
    ):
        log.add(Problem(kind, "a.png", "why"))


def test_kinds_have_keys_of_their_own():
    assert len({kind.key for kind in ProblemKind}) == len(ProblemKind) == 16
