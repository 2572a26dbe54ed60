import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.edited_copy import copy_edited
from mxqvae.errors import MxqvaeError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five training rows in two shards and row groups of two, and a test row."""
    folder = tmp_path / "source"
    (folder / "data").mkdir(parents=True)
    for name, values in {
        "train-00000-of-00002": [0, 1, 2],
        "train-00001-of-00002": [3, 4],
        "test-00000-of-00001": [5],
    }.items():
        table = pa.table({"number": values}).replace_schema_metadata({"key": "value"})
        pq.write_table(table, folder / "data" / f"{name}.parquet", row_group_size=2)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_every_row_is_edited_once_in_order(source: Path, tmp_path: Path):
    calls = []

    def edit(shard: Path, first: int, rows: pa.Table) -> pa.Table:
        calls.append((shard.name[:11], first, rows["number"].to_pylist()))
        return rows.slice(0, 1)

    out = tmp_path / "out"
    out.mkdir()
    assert copy_edited(source, out, edit) == {"test": 1, "train": 3}
    assert calls == [
        ("test-00000-", 0, [5]),
        ("train-00000", 0, [0, 1]),
        ("train-00000", 2, [2]),
        ("train-00001", 0, [3, 4]),
    ]
    first = pq.read_table(out / "data" / "train-00000-of-00002.parquet")
    assert first["number"].to_pylist() == [0, 2]
    assert first.schema.metadata[b"key"] == b"value"
    assert (out / "tokenizer.json").read_text() == "{}"


def test_damaged_shards_are_named(source: Path, tmp_path: Path):
    path = source / "data" / "test-00000-of-00001.parquet"
    path.write_bytes(b"no parquet")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(MxqvaeError, match=r"test-00000-of-00001\.parquet: not a readable parquet file"):
        copy_edited(source, out, lambda _, __, rows: rows)


def test_a_missing_shard_is_named(source: Path, tmp_path: Path):
    (source / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(MxqvaeError, match=r"train-00001-of-00002\.parquet: shard is missing"):
        copy_edited(source, tmp_path, lambda _, __, rows: rows)


def test_a_shard_without_rows_keeps_its_file(source: Path, tmp_path: Path):
    path = source / "data" / "train-00001-of-00002.parquet"
    pq.ParquetWriter(path, pq.read_schema(path)).close()
    out = tmp_path / "out"
    out.mkdir()
    assert copy_edited(source, out, lambda _, __, rows: rows) == {"test": 1, "train": 3}
    assert pq.read_schema(out / "data" / path.name) == pq.read_schema(path)


def test_a_full_disk_is_not_taken_for_a_damaged_shard(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def write_table(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OSError, match="No space left"):
        copy_edited(source, out, lambda _, __, rows: rows)
