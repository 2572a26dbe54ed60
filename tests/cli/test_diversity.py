import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.diversity import measure_diversity

Run = Callable[..., tuple[int, str, str]]


def test_json_and_file_hold_the_whole_score(
    run: Run, samples: Path, test_pairs: PairDataset, caption_mnist_small: Path, tmp_path: Path
):
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate", "diversity", samples, "--data", caption_mnist_small, "--out", out, "--json"
    )
    assert (code, err) == (0, "")
    train = PairDataset.from_parquet(caption_mnist_small, "train")
    score = dataclasses.asdict(measure_diversity(test_pairs.captions, train.captions))
    assert json.loads(printed) == json.loads(out.read_text()) == score


def test_the_table_tells_kinds_words_and_real_captions(
    run: Run, samples: Path, caption_mnist_small: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run("evaluate", "diversity", samples, "--data", caption_mnist_small)
    assert code == 0
    for part in ("Single", "Quad4", "All", "Uniform draws", "parse: 100.00%", "positions 0.", "colours 0."):
        assert part in out


@pytest.mark.parametrize("missing", ["samples", "data"])
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, samples: Path, caption_mnist_small: Path, tmp_path: Path, missing: str
):
    places = {"samples": samples, "data": caption_mnist_small} | {missing: tmp_path / "nowhere"}
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate", "diversity", places["samples"], "--data", places["data"], "--out", out
    )
    assert (code, printed) == (2, "")
    assert "nowhere" in err
    assert err.count("\n") == 1
    assert not out.exists()
