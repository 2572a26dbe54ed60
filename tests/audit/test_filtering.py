import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.audit.filtering import filter_by_share, filter_by_threshold
from mxqvae.audit.pair_source import PairKey
from mxqvae.audit.score_table import ScoredPair, write_part
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError

SHARD = "data/train-00000-of-00001.parquet"


def write_scores(path: Path, scores: Mapping[tuple[int, int], float | None], file: str = SHARD) -> Path:
    rows = [
        ScoredPair(PairKey(file, row, number), "", score, *(None,) * 5)
        for (row, number), score in scores.items()
    ]
    write_part(path, rows)
    return path


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Pair i has i bits, but for the last, which has none."""
    values: dict[tuple[int, int], float | None] = {(row, 0): float(row) for row in range(60)}
    return write_scores(tmp_path / "scores.parquet", values | {(59, 0): None})


def test_what_is_above_the_threshold_goes(dirty: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "out"
    manifest = filter_by_threshold(dirty, scores, out, threshold=40.0)
    old, new = pq.read_table(dirty / SHARD), pq.read_table(out / SHARD)
    assert new.schema.equals(old.schema, check_metadata=True)
    assert new.equals(pa.concat_tables([old.slice(0, 41), old.slice(59)]))  # no score: it stays
    assert (manifest.num_scored, manifest.num_left_out, manifest.splits) == (59, 18, {"train": 42})
    assert json.loads((out / "manifest.json").read_text())["source"]["name"] == "caption-mnist-corrupted"
    assert len(PairDataset.from_parquet(out, "train")) == 42


def test_the_best_share_stays(dirty: Path, scores: Path, tmp_path: Path):
    manifest = filter_by_share(dirty, scores, tmp_path / "out", keep_share=0.5)
    assert manifest.num_left_out == 59 - round(0.5 * 59)
    assert pq.read_table(tmp_path / "out" / SHARD)["caption"].to_pylist() == (
        pq.read_table(dirty / SHARD)["caption"].to_pylist()[:30]
        + pq.read_table(dirty / SHARD)["caption"].to_pylist()[59:]
    )


def test_of_equal_pairs_the_first_stay(dirty: Path, tmp_path: Path):
    scores = write_scores(tmp_path / "scores.parquet", {(row, 0): 1.0 for row in range(60)})
    filter_by_share(dirty, scores, tmp_path / "out", keep_share=0.25)
    assert pq.read_table(tmp_path / "out" / SHARD).equals(pq.read_table(dirty / SHARD).slice(0, 15))


def test_single_captions_of_an_image_go(tmp_path: Path):
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    (source / "tokenizer.json").write_text("{}")
    captions = [["a", "b", "c"], ["d"], []]
    pq.write_table(pa.table({"image": ["x", "y", "z"], "captions": captions}), source / SHARD)
    scores = write_scores(
        tmp_path / "scores.parquet", {(0, 0): 1.0, (0, 1): 9.0, (0, 2): 1.0, (1, 0): 9.0, (2, 0): None}
    )
    manifest = filter_by_threshold(source, scores, tmp_path / "out", threshold=5.0)
    rows = pq.read_table(tmp_path / "out" / SHARD).to_pylist()
    assert [(row["image"], row["captions"]) for row in rows] == [("x", ["a", "c"]), ("z", [])]
    assert (manifest.num_left_out, manifest.source) == (2, None)
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_what_does_not_fit_is_refused(dirty: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "out"
    every_row = {(row, 0): 1.0 for row in range(60)}
    for values, file, message in (
        (every_row, SHARD, "nothing of the split 'train' would be left"),
        ({(0, 0): 1.0}, "data/x", "is of another data set than"),
        ({(99, 0): 1.0}, SHARD, r"has pairs that .* lacks"),
    ):
        table = write_scores(tmp_path / "table", values, file)
        with pytest.raises(MxqvaeError, match=message):
            filter_by_threshold(dirty, table, out, threshold=0.0)
    with pytest.raises(MxqvaeError, match="holds the data set to read"):
        filter_by_threshold(dirty, scores, dirty.parent, threshold=0.0)
    assert not out.exists()
