import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.evaluation import completion
from mxqvae.generation.completion import CompletionConfig

Run = Callable[..., tuple[int, str, str]]
SMALL = CompletionConfig(num_captions=2, num_images=2, num_rounds=1)


@pytest.fixture(autouse=True)
def little_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers cost less, and are worse."""
    defaults = dict(completion.measure_completion.__kwdefaults__ or {}) | {"config": SMALL}
    monkeypatch.setattr(completion.measure_completion, "__kwdefaults__", defaults)


def test_table_and_file_tell_the_same(run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path):
    out = tmp_path / "score.json"
    code, printed, err = run(
        *("evaluate", "completion", "--data", caption_mnist_small, "--weights", tiny_model),
        *("--num", 5, "--split", "train", "--out", out),
    )
    assert code == 0
    assert "complete: 20 answers in " in err
    score = json.loads(out.read_text())
    assert score["num_pairs"] == 5
    assert "Completion of 5 pairs" in printed
    assert f"of {score['halves']['num_determined']:,} fixed slots right" in printed
    row = next(line.split() for line in printed.splitlines() if "All pairs" in line)
    assert row[-2] == f"{score['ceiling']['consistent']['rate']:.3f}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--num", 1), "--num must be at least 2, got 1"),
        (("--num", 61), "--num 61 is more than the 60 pairs of split 'test'; give fewer"),
        (("--split", "dev"), "no split 'dev'"),
    ],
)
def test_bad_input_is_named(
    run: Run, tiny_model: Path, caption_mnist_small: Path, arguments: tuple[object, ...], message: str
):
    command = ("evaluate", "completion", "--data", caption_mnist_small, "--weights", tiny_model)
    code, printed, err = run(*command, *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.count("\n") == 1
