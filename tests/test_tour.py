"""docs/tour.md: its blocks run one after the other and print what their comments say."""

import contextlib
import io
import re
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[1] / "docs" / "tour.md"
BLOCKS = re.findall(r"```python\n(.*?)```", TOUR.read_text(encoding="utf-8"), re.DOTALL)


def test_the_tour_can_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(BLOCKS) > 8
    for block in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(TOUR), "exec"), names)
        expected = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        assert printed.getvalue().splitlines() == expected
    assert (tmp_path / "tour.png").stat().st_size > 10_000
