import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.captioned_images import parquet_files
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.parquet_files import ParquetFiles
from mxqvae.data.captioned_images.source import FileRange, SourcePair
from mxqvae.errors import MxqvaeError

NOTHING_ASKED = AskedColumns()


def read(path: Path, asked: AskedColumns = NOTHING_ASKED) -> list[SourcePair]:
    return list(ParquetFiles([path], asked))


def test_halves_that_are_not_known(tmp_path: Path):
    path = tmp_path / "a.parquet"
    images = [
        {"bytes": b"x", "path": "x.png"},
        {"bytes": None, "path": "y.png"},
        {"bytes": None, "path": None},
        None,
    ]
    captions = [["a", "b"], None, [], ["c", None]]
    pq.write_table(pa.table({"image": images, "captions": captions, "id": [1, 2, 3, None]}), path)
    pairs = read(path, AskedColumns(group="id"))
    assert [pair.image for pair in pairs] == [b"x", FileRange(str(tmp_path / "y.png")), None, None]
    assert [pair.captions for pair in pairs] == [("a", "b"), (), (), ("c",)]
    assert [pair.group for pair in pairs] == ["1", "2", "3", None]
    assert {pair.split for pair in pairs} == {None}
    assert [pair.name for pair in pairs[:3]] == [
        "a.parquet, row 0 (x.png)",
        "a.parquet, row 1 (y.png)",
        "a.parquet, row 2",
    ]


def test_a_name_that_is_not_utf8(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"caf\xe9.parquet")
    with path.open("wb") as file:
        pq.write_table(pa.table({"image": [b"x"], "text": ["a"]}), file)
    assert [pair.name for pair in read(path)] == ["caf\ufffd.parquet, row 0"]
    assert ParquetFiles([path], NOTHING_ASKED).count() == 1


def test_rows_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_files, "BATCH_SIZE", 3)
    path = tmp_path / "a.parquet"
    table = pa.table({"image": [bytes([n]) for n in range(10)], "text": [str(n) for n in range(10)]})
    pq.write_table(table, path, row_group_size=4)
    assert [(pair.image, pair.captions) for pair in read(path)] == [
        (bytes([n]), (str(n),)) for n in range(10)
    ]
    assert ParquetFiles([path, path], AskedColumns()).count() == 20


def test_what_is_wrong_is_named(tmp_path: Path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(MxqvaeError, match=r"a\.parquet: not a readable parquet file"):
        read(path)
    pq.write_table(pa.table({"image": [3], "text": ["x"]}), path)
    with pytest.raises(MxqvaeError, match="row 0: image holds no image; name another with --image-column"):
        read(path)
    pq.write_table(pa.table({"photo": [b"3"], "text": ["x"]}), path)
    with pytest.raises(MxqvaeError, match="no image column found among photo, text"):
        read(path)
    assert [pair.image for pair in read(path, AskedColumns(image="photo"))] == [b"3"]


def test_splits_of_shards_are_kept_and_a_column_goes_before(tmp_path: Path):
    paths = [tmp_path / f"{name}-00000-of-00001.parquet" for name in ("train", "validation")]
    for path in paths:
        pq.write_table(pa.table({"image": [b"1"], "text": ["a"], "part": ["test"]}), path)
    assert [pair.split for pair in ParquetFiles(paths, NOTHING_ASKED)] == ["train", "validation"]
    assert [pair.split for pair in ParquetFiles(paths, AskedColumns(split="part"))] == ["test", "test"]
    assert [pair.split for pair in ParquetFiles(paths[:1], NOTHING_ASKED)] == [None]


def test_published_splits(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [b"1", b"2"], "text": ["a", "b"], "part": ["train", "test"]}), path)
    assert [pair.split for pair in read(path, AskedColumns(split="part"))] == ["train", "test"]
    with pytest.raises(MxqvaeError, match=r"a\.parquet, row 0, column text: unknown split 'a'"):
        read(path, AskedColumns(split="text"))
