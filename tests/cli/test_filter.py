from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.audit.pair_source import PairKey
from mxqvae.audit.score_table import ScoredPair, write_part
from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Training pair i has i bits."""
    keys = [PairKey("data/train-00000-of-00001.parquet", row, 0) for row in range(300)]
    path = tmp_path / "scores.parquet"
    write_part(path, [ScoredPair(key, "", float(key.row), *(None,) * 5) for key in keys])
    return path


@pytest.mark.parametrize("rule", [("--keep-share", 0.9), ("--threshold", 269)])
def test_pairs_are_left_out(run: Run, caption_mnist_small: Path, scores: Path, tmp_path: Path, rule: tuple):
    out = tmp_path / "out"
    code, printed, err = run("data", "filter", caption_mnist_small, "--scores", scores, "--out", out, *rule)
    assert (code, printed, err) == (0, f"30 of 300 scored pairs left out: {out}\n", "")
    assert len(PairDataset.from_parquet(out, "train")) == 270
    assert len(PairDataset.from_parquet(out, "test")) == 60


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ((), "give one of --keep-share and --threshold"),
        (("--keep-share", 0.5, "--threshold", 1), "give one of --keep-share and --threshold"),
        (("--keep-share", 0), "--keep-share must be above 0 and up to 1, got 0"),
    ],
)
def test_one_rule_is_needed(run: Run, tmp_path: Path, rule: tuple, message: str):
    code, _, err = run("data", "filter", tmp_path, "--scores", "x", "--out", tmp_path / "out", *rule)
    assert (code, message in err) == (2, True)


def test_a_missing_table_is_named(run: Run, caption_mnist_small: Path, tmp_path: Path):
    arguments = ("--scores", tmp_path / "nowhere", "--out", tmp_path / "out", "--keep-share", 0.5)
    code, _, err = run("data", "filter", caption_mnist_small, *arguments)
    assert (code, "nowhere is missing; `mxqvae audit` writes it" in err) == (2, True)
    assert not (tmp_path / "out").exists()
