import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.audit.score_table import ScoredPair, write_part
from mxqvae.data.pair_source import PairKey
from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scores(caption_mnist_small: Path, tmp_path: Path) -> Path:
    """Training pair i has i bits; for every tenth another caption is proposed."""
    shard, path = "data/train-00000-of-00001.parquet", tmp_path / "scores.parquet"
    captions = pq.read_table(caption_mnist_small / shard)["caption"].to_pylist()
    pairs = [
        ScoredPair(
            *(PairKey(shard, row, 0), caption, float(row), None),
            *(caption if row % 10 else "This is red 1.", None, None, None),
        )
        for row, caption in enumerate(captions)
    ]
    write_part(path, pairs)
    return path


@pytest.mark.parametrize("rule", [("--keep-share", 0.9), ("--threshold", 269), ("--contradicted",)])
def test_pairs_are_left_out(run: Run, caption_mnist_small: Path, scores: Path, tmp_path: Path, rule: tuple):
    out = tmp_path / "out"
    code, printed, err = run("data", "filter", caption_mnist_small, "--scores", scores, "--out", out, *rule)
    assert (code, printed, err) == (0, f"30 of 300 scored pairs left out: {out}\n", "")
    assert len(PairDataset.from_parquet(out, "train")) == 270
    assert len(PairDataset.from_parquet(out, "test")) == 60


def test_captions_are_corrected(run: Run, caption_mnist_small: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "out"
    arguments = ("--scores", scores, "--out", out, "--correct")
    code, printed, err = run("data", "filter", caption_mnist_small, *arguments)
    assert (code, printed, err) == (0, f"30 of 300 scored pairs corrected: {out}\n", "")
    manifest = json.loads((out / "manifest.json").read_text())
    code, printed, err = run("data", "filter", caption_mnist_small, *arguments, "--overwrite", "--json")
    assert (code, json.loads(printed), err) == (0, manifest, "")
    captions = PairDataset.from_parquet(out, "train").captions
    assert len(captions) == 300
    assert set(captions[::10]) == {"This is red 1."}


def test_precision_and_recall_are_told(run: Run, caption_mnist_small: Path, scores: Path, tmp_path: Path):
    shard = "data/train-00000-of-00001.parquet"
    (tmp_path / "dirty" / "data").mkdir(parents=True)
    rows = pq.read_table(caption_mnist_small / shard)
    lies = pa.array([row % 20 == 0 or row == 1 for row in range(300)])
    pq.write_table(rows.append_column("corrupted", lies), tmp_path / "dirty" / shard)
    arguments = ("--scores", scores, "--out", tmp_path / "out", "--contradicted")
    code, printed, _ = run("data", "filter", tmp_path / "dirty", *arguments)
    assert (code, printed.splitlines()[1:]) == (
        0,
        ["By the column corrupted: precision 0.5000, recall 0.9375."],
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ((), "give one of --keep-share, --threshold, --contradicted and --correct"),
        (("--keep-share", 0.5, "--threshold", 1), "give one of --keep-share, --threshold"),
        (("--contradicted", "--correct"), "give one of --keep-share, --threshold"),
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
    assert (code, "nowhere: no such file; give the scores.parquet" in err) == (2, True)
    assert not (tmp_path / "out").exists()
