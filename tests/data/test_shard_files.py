from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.shard_files import data_files, find_shards, num_rows
from mxqvae.errors import MxqvaeError


def make(folder: Path, *names: str) -> Path:
    """Empty files; nothing of a shard but its name is looked at."""
    (folder / "data").mkdir()
    for name in names:
        (folder / "data" / f"{name}.parquet").write_bytes(b"")
    return folder


def names_of(shards: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {split: [path.stem for path in paths] for split, paths in shards.items()}


def test_all_shards_in_order(tmp_path: Path):
    folder = make(
        tmp_path,
        "train-00001-of-00002",
        "train-00000-of-00002",
        "my-test-00000-of-00001",
        "other",
        "x-0-of-1",
    )
    train = ["train-00000-of-00002", "train-00001-of-00002"]
    assert names_of(find_shards(folder)) == {"my-test": ["my-test-00000-of-00001"], "train": train}
    assert names_of(find_shards(folder, "train")) == {"train": train}


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.raises(MxqvaeError, match="nowhere: no such folder; check it"):
        find_shards(tmp_path / "nowhere")
    with pytest.raises(MxqvaeError, match=r"no data/SPLIT-\S+ in it; give a folder"):
        find_shards(tmp_path)
    folder = make(tmp_path, "train-00000-of-00002", "test-00000-of-00001")
    with pytest.raises(MxqvaeError, match="no split 'validation'; it has test, train"):
        find_shards(folder, "validation")
    for split in (None, "train"):
        with pytest.raises(MxqvaeError, match=r"train-00001-of-00002\.parquet: shard is missing"):
            find_shards(folder, split)
    assert list(find_shards(folder, "test")) == ["test"]  # it is all there


def test_rows_of_a_shard(tmp_path: Path):
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({"number": [0, 1, 2]}), path, row_group_size=2)
    assert num_rows(path) == 3
    path.write_bytes(b"no parquet")
    with pytest.raises(MxqvaeError, match="not a readable parquet file"):
        num_rows(path)


def test_the_lines_of_a_card():
    assert data_files(["train", "test"]).splitlines() == [
        "  - {split: train, path: data/train-*.parquet}",
        "  - {split: test, path: data/test-*.parquet}",
    ]
