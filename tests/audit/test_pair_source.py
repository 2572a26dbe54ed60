import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.audit import pair_source
from mxqvae.audit.pair_source import PairKey, open_pairs
from mxqvae.errors import MxqvaeError

SHARD = "data/train-00000-of-00001.parquet"


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_source, "CHUNK_SIZE", 10)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Two images with three captions and one, and an image without any."""
    (tmp_path / "data").mkdir()
    rows = [
        {"image": {"bytes": png("red"), "path": None}, "captions": ["a", "b", "c"]},
        {"image": {"bytes": png("blue"), "path": None}, "captions": ["d"]},
        {"image": {"bytes": png("green"), "path": None}, "captions": []},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / SHARD)
    return tmp_path


def test_chunks_go_on_from_any_number(dirty: Path, small_chunks: None):
    source = open_pairs(dirty)
    chunks = list(source.chunks())
    # Row groups of 25, 25 and 10.
    assert [chunk.num_rows for chunk in chunks] == [10, 10, 5, 10, 10, 5, 10] == source.chunk_sizes()
    assert [chunk.number for chunk in chunks] == list(range(7))
    pairs = [pair for chunk in chunks for pair in chunk.pairs]
    assert [pair.key.row for pair in pairs] == list(range(60))
    assert [pair.caption for pair in pairs] == pq.read_table(dirty / SHARD)["caption"].to_pylist()
    for first in range(8):
        assert list(source.chunks(first)) == chunks[first:]


def test_images_are_found_again(dirty: Path, small_chunks: None):
    source = open_pairs(dirty)
    pairs = {pair.key: pair.image for chunk in source.chunks() for pair in chunk.pairs}
    some = [PairKey(SHARD, row, 0) for row in (59, 3, 27)]
    assert source.images(some) == {key: pairs[key] for key in some}


def test_every_caption_is_a_pair(several: Path):
    (chunk,) = open_pairs(several).chunks()
    assert [(pair.key[1:], pair.caption, pair.image == png("red")) for pair in chunk.pairs] == [
        *(((0, number), caption, True) for number, caption in enumerate("abc")),
        ((1, 0), "d", False),
        ((2, 0), "", False),
    ]
    keys = [pair.key for pair in chunk.pairs]
    assert open_pairs(several).images(keys[1:2]) == {keys[1]: png("red")}


def test_a_sample_folder(tmp_path: Path):
    (tmp_path / "0.png").write_bytes(png("red"))
    lines = [
        json.dumps({"file_name": "0.png", "caption": "a"}),
        "",
        json.dumps({"file_name": "../x", "caption": "b"}),
        "no json",
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    source = open_pairs(tmp_path)
    (chunk,) = source.chunks()
    assert source.num_rows == 3
    assert [(pair.image, pair.caption) for pair in chunk.pairs] == [
        (png("red"), "a"),
        (None, "b"),
        (None, ""),
    ]
    assert source.images([chunk.pairs[0].key]) == {chunk.pairs[0].key: png("red")}


def test_the_identity_changes_with_the_pairs(several: Path):
    before = open_pairs(several).identity()
    assert before == open_pairs(several).identity()
    (several / SHARD).write_bytes((several / SHARD).read_bytes() + b" ")
    assert pair_source._identity(several, several / SHARD) != before[0]


@pytest.mark.parametrize(
    ("split", "message"), [("test", r"no split 'test'; choose from train"), (None, "not a readable parquet")]
)
def test_bad_data_sets(several: Path, split: str | None, message: str):
    (several / SHARD).write_bytes(b"no parquet")
    with pytest.raises(MxqvaeError, match=message):
        open_pairs(several, split)


def test_folders_of_other_things(tmp_path: Path):
    with pytest.raises(MxqvaeError, match="nowhere is not a folder"):
        open_pairs(tmp_path / "nowhere")
    with pytest.raises(MxqvaeError, match="neither data"):
        open_pairs(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("{}")
    with pytest.raises(MxqvaeError, match="has no splits; leave --split out"):
        open_pairs(tmp_path, "train")
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / SHARD)
    with pytest.raises(MxqvaeError, match=r"no column image and caption \(it has text\)"):
        list(open_pairs(tmp_path).chunks())
