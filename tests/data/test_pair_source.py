import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.data import pair_source
from mxqvae.data.pair_source import PairKey, open_pairs
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


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        (r'{"file_name": "\u0000.png", "caption": "a"}', "a"),
        (r'{"file_name": "\ud800.png", "caption": "a"}', "a"),
        (r'{"file_name": "NAME", "caption": "a"}'.replace("NAME", "x" * 300), "a"),
        (r'{"file_name": "circle", "caption": "a"}', "a"),
        (r'{"file_name": ".", "caption": "a"}', "a"),
        (r'{"file_name": 3, "caption": "a"}', "a"),
        (r'{"file_name": "", "caption": "a"}', "a"),
        (r'{"caption": "a"}', "a"),
        (r'{"file_name": "x.png", "caption": null}', ""),
        (r'{"file_name": "x.png", "caption": ["a"]}', ""),
        (r'{"file_name": "x.png", "caption": "\ud800"}', ""),
        (r'{"file_name": "x.png"}', ""),
        ("[1]", ""),
        ("3", ""),
        ("[" * 100_000, ""),
    ],
    ids=range(15),
)
def test_a_line_that_cannot_be_read_is_a_pair_without(tmp_path: Path, line: str, caption: str):
    (tmp_path / "metadata.jsonl").write_text(line)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    source = open_pairs(tmp_path)
    (pair,) = next(source.chunks()).pairs
    assert (pair.image, pair.caption) == (None, caption)
    assert source.images([pair.key]) == {}
    assert pair.key.file.encode()
    assert source.identity() == open_pairs(tmp_path).identity()


def test_texts_that_are_not_utf8_are_pairs_without_a_caption(tmp_path: Path):
    (tmp_path / "data").mkdir()
    image = pa.array([{"bytes": png("red")}] * 2)
    texts = pa.array([b"a", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"image": image, "caption": texts}), tmp_path / SHARD)
    (chunk,) = open_pairs(tmp_path).chunks()
    assert [(pair.image, pair.caption) for pair in chunk.pairs] == [(png("red"), "a"), (png("red"), "")]
    lists = pa.ListArray.from_arrays([0, 1, 2], texts)
    pq.write_table(pa.table({"image": image, "captions": lists}), tmp_path / SHARD)
    (chunk,) = open_pairs(tmp_path).chunks()
    assert [pair.caption for pair in chunk.pairs] == ["a", ""]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"captions": ["abc"]}, "column captions must hold lists of strings"),
        ({"caption": [3]}, "column caption must hold strings"),
        ({"caption": [["a"]]}, "column caption must hold strings"),
        ({"image": ["0.png"], "caption": ["a"]}, "column image must hold structs with an encoded image"),
    ],
    ids=range(4),
)
def test_columns_of_other_types_are_refused_as_in_training(tmp_path: Path, columns: dict, message: str):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"image": [{"bytes": png("red")}]} | columns), tmp_path / SHARD)
    with pytest.raises(MxqvaeError, match=message):
        open_pairs(tmp_path)


def test_a_missing_shard_is_named(several: Path):
    (several / SHARD).rename(several / "data" / "train-00000-of-00002.parquet")
    with pytest.raises(MxqvaeError, match=r"train-00001-of-00002\.parquet: shard is missing"):
        open_pairs(several)


def test_the_identity_changes_with_the_pairs(several: Path):
    before = open_pairs(several).identity()
    assert before == open_pairs(several).identity()
    (several / SHARD).write_bytes((several / SHARD).read_bytes() + b" ")
    assert pair_source._identity(several, several / SHARD) != before[0]


def test_the_identity_of_a_sample_folder_changes_with_its_images(tmp_path: Path):
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "0.png", "caption": "a"}\n{"file_name": "1.png"}\n'
    )
    (tmp_path / "0.png").write_bytes(png("red"))
    identities = [open_pairs(tmp_path).identity()]
    (tmp_path / "1.png").write_bytes(png("red"))
    identities.append(open_pairs(tmp_path).identity())
    os.utime(tmp_path / "1.png", ns=(0, 1))
    identities.append(open_pairs(tmp_path).identity())
    (tmp_path / "1.png").write_bytes(b"")
    os.utime(tmp_path / "1.png", ns=(0, 1))
    identities.append(open_pairs(tmp_path).identity())
    assert len({json.dumps(identity) for identity in identities}) == 4
    assert open_pairs(tmp_path).identity() == json.loads(json.dumps(identities[-1]))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", r"no split 'test'; it has train; build it with a --test-share above 0"),
        (None, "not a readable parquet"),
    ],
)
def test_bad_data_sets(several: Path, split: str | None, message: str):
    (several / SHARD).write_bytes(b"no parquet")
    with pytest.raises(MxqvaeError, match=message):
        open_pairs(several, split)


def test_folders_of_other_things(tmp_path: Path):
    with pytest.raises(MxqvaeError, match="nowhere is not a folder"):
        open_pairs(tmp_path / "nowhere")
    with pytest.raises(
        MxqvaeError, match=r"neither data/\*\.parquet .*; make .* `mxqvae data folder /.* --out DATA`"
    ):
        open_pairs(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("{}")
    with pytest.raises(MxqvaeError, match="has no splits; leave --split out"):
        open_pairs(tmp_path, "train")
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / SHARD)
    with pytest.raises(MxqvaeError, match=r"no column image and caption \(it has text\)"):
        list(open_pairs(tmp_path).chunks())
