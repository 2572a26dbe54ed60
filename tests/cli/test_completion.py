import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mxqvae.data.batch import PairBatch
from mxqvae.evaluation import completion
from mxqvae.generation import parallel
from mxqvae.generation.completion import CompletionConfig, Completions

Run = Callable[..., tuple[int, str, str]]
SMALL = CompletionConfig(num_captions=2, num_images=2, num_rounds=1)


@pytest.fixture(autouse=True)
def little_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers cost less, and are worse."""
    defaults = dict(completion.measure_completion.__kwdefaults__ or {}) | {"config": SMALL}
    monkeypatch.setattr(completion.measure_completion, "__kwdefaults__", defaults)
    monkeypatch.setattr("mxqvae.generation.completion.DEFAULT_COMPLETION", SMALL)


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


def test_one_way_alone(run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path):
    out = tmp_path / "score.json"
    code, printed, err = run(
        *("evaluate", "completion", "--data", caption_mnist_small, "--weights", tiny_model),
        *("--num", 5, "--ways", "captions", "--split", "train", "--out", out),
    )
    assert code == 0
    assert "complete: 5 answers in " in err
    score = json.loads(out.read_text())
    assert score["images"] is score["halves"] is None
    assert "Caption of image" in printed
    assert "Image of caption" not in printed
    assert "Diversity" not in printed
    code, _, err = run(
        *("evaluate", "completion", "--data", caption_mnist_small, "--weights", tiny_model, "--ways", "words")
    )
    assert code == 2
    assert "captions" in err


def test_the_search_can_be_changed(
    run: Run, tiny_model: Path, caption_mnist_small: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    complete = parallel.complete
    monkeypatch.setattr(
        parallel, "complete", lambda *given, **options: asked.append(options) or complete(*given, **options)
    )
    command = ("evaluate", "completion", "--data", caption_mnist_small, "--weights", tiny_model, "--num", 2)
    assert run(*command, "--ways", "captions", "--set", "num_captions=3")[0] == 0
    assert [options["config"] for options in asked] == [replace(SMALL, num_captions=3)]
    code, _, err = run(*command, "--set", "candidates=3")
    assert (code, "--set candidates: no such field; choose from num_captions" in err) == (2, True)


def test_a_curve_of_guidances(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def complete(_, batch: PairBatch, *, config: CompletionConfig, **options):
        asked.append((config.guidance, config.num_images))
        for token_ids in batch.token_ids:
            pair = PairBatch(torch.zeros(1, 3, 64, 64), token_ids[None])
            yield Completions(pair, [""], torch.zeros(1), [0])

    monkeypatch.setattr(parallel, "complete", complete)
    out, plot = tmp_path / "curve.json", tmp_path / "curve.png"
    command = ("evaluate", "guidance", "--data", caption_mnist_small, "--weights", tiny_model)
    code, printed, _ = run(
        *(*command, "--num", 20, "--processes", 1, "--guidances", 1, 2.5, "--set", "num_images=7"),
        *("--plot", plot, "--out", out),
    )
    assert code == 0
    assert asked == [(1, 7), (1, 7), (2.5, 7), (2.5, 7)]
    assert "Images of 20 captions by guidance" in printed
    assert [point["guidance"] for point in json.loads(out.read_text())["points"]] == [1, 2.5]
    assert plot.is_file()
    code, _, err = run(*command, "--plot", tmp_path / "curve.pdf")
    assert (code, err.partition(";")[0]) == (2, "mxqvae: error: --plot writes a PNG file")


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
