from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mxqvae.audit.score_table import ScoredPair, write_part
from mxqvae.data.pair_source import PairKey
from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scores(caption_mnist_small: Path, tmp_path: Path) -> Path:
    """Training pair i has i bits."""
    shard, path = "data/train-00000-of-00001.parquet", tmp_path / "scores.parquet"
    captions = pq.read_table(caption_mnist_small / shard)["caption"].to_pylist()
    pairs = [
        ScoredPair(PairKey(shard, row, 0), caption, float(row), *(None,) * 5)
        for row, caption in enumerate(captions)
    ]
    write_part(path, pairs)
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
        (("--keep-share", "nan"), "--keep-share must be above 0 and up to 1, got nan"),
        (("--threshold", "nan"), "--threshold must be a number of bits, got nan"),
        (("--threshold", "inf"), "--threshold must be a number of bits, got inf"),
    ],
)
def test_one_rule_is_needed(run: Run, tmp_path: Path, rule: tuple, message: str):
    code, _, err = run("data", "filter", tmp_path, "--scores", "x", "--out", tmp_path / "out", *rule)
    assert (code, message in err, err.count("\n")) == (2, True, 1)


def test_a_missing_table_is_named(run: Run, caption_mnist_small: Path, tmp_path: Path):
    arguments = ("--scores", tmp_path / "nowhere", "--out", tmp_path / "out", "--keep-share", 0.5)
    code, _, err = run("data", "filter", caption_mnist_small, *arguments)
    assert (code, "nowhere is missing; `mxqvae audit` writes it" in err) == (2, True)
    assert not (tmp_path / "out").exists()
