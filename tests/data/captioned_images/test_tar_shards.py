import io
import json
import os
import random
import tarfile
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.tar_shards import TarShards, is_tar_name
from mxqvae.errors import MxqvaeError

NOTHING_ASKED = AskedColumns()


def write(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def read(path: Path, asked: AskedColumns = NOTHING_ASKED) -> list[SourcePair]:
    return list(TarShards([path], asked))


def test_fields_of_a_sample(tmp_path: Path):
    path = write(
        tmp_path / "a.tar",
        {
            "x/1.mask.png": b"mask",
            "x/1.jpg": b"photo",
            "x/1.txt": b"one\ntwo",
            "x/1.json": json.dumps({"caption": "other", "alt": "more", "id": 5}).encode(),
            "x/2.jpg": b"no caption",
            "y/2.txt": b"no image",
            "y/._3.jpg": b"hidden",
            "y/3.cls": b"7",
        },
    )
    assert [pair[:4] for pair in read(path)] == [
        ("a.tar/x/1", b"photo", ("one", "two"), None),
        ("a.tar/x/2", b"no caption", (), None),
        ("a.tar/y/2", None, ("no image",), None),
    ]
    assert TarShards([path], AskedColumns()).count() == 3
    # A column that is asked for is one of the JSON file.
    (first, *_) = read(path, AskedColumns(caption="alt", group="id"))
    assert (first.captions, first.group) == (("more",), "5")


def test_names_with_dots_are_samples_of_their_own(tmp_path: Path):
    names = ("shot 1.0", "shot 1.1")
    texts = {f"{name}.{field}": name.encode() for name in names for field in ("jpg", "txt")}
    pairs = read(write(tmp_path / "a.tar", texts))
    assert [pair[:3] for pair in pairs] == [(f"a.tar/{name}", name.encode(), (name,)) for name in names]
    row = json.dumps({"caption": "a"}).encode()
    path = write(tmp_path / "b.tar", {f"{name}.{field}": row for name in names for field in ("json", "png")})
    assert [pair.captions for pair in read(path)] == [("a",), ("a",)]


@pytest.mark.parametrize(
    "names", ["0.jpg 1.jpg 0.txt 1.txt", "0.json 1.jpg 1.txt 0.jpg", "0.0.jpg 0.1.jpg 0.0.txt"]
)
def test_halves_that_lie_apart_are_refused(tmp_path: Path, names: str):
    path = write(tmp_path / "a.tar", dict.fromkeys(names.split(), b"{}"))
    with pytest.raises(
        MxqvaeError, match=r"a\.tar: files of (0\.)?0 lie apart; .* `tar --sort=name` packs them"
    ):
        read(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_hard_links(tmp_path: Path, mode: str):
    path = tmp_path / "a.tar"
    (tmp_path / "1.jpg").write_bytes(b"photo")
    (tmp_path / "2.jpg").hardlink_to(tmp_path / "1.jpg")
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        tar.add(tmp_path / "1.jpg", "./1.jpg")
        tar.add(tmp_path / "2.jpg", "./2.jpg")
    if mode == "w":
        assert [pair.image for pair in read(path)] == [b"photo", b"photo"]
        return
    with pytest.raises(MxqvaeError, match=r"a\.tar: \./2\.jpg is a hard link; .* `tar --hard-dereference`"):
        read(path)


def test_published_splits(tmp_path: Path):
    asked = AskedColumns(split="part")
    row = {"caption": "one", "part": "val"}
    files = {"1.jpg": b"photo", "1.json": json.dumps(row).encode()}
    (pair,) = read(write(tmp_path / "a.tar", files), asked)
    assert pair.split == "validation"
    unsaid = write(tmp_path / "b.tar", {**files, "2.jpg": b"photo", "2.txt": b"one"})
    with pytest.raises(
        MxqvaeError, match=r"b\.tar/2\.json, column part: unknown split ''; write train, valid"
    ):
        read(unsaid, asked)


def test_a_name_that_is_not_utf8(tmp_path: Path):
    path = write(tmp_path / os.fsdecode(b"caf\xe9.tar"), {"1.png": b"x", "1.txt": b"one"})
    assert [pair.name for pair in read(path)] == ["caf\ufffd.tar/1"]


def test_columns_are_those_of_all_samples(tmp_path: Path):
    files = {
        "1.json": b'{"id": 1}',
        "1.png": b"first",
        "2.json": b'{"caption": "two", "title": "no"}',
        "2.png": b"second",
        "3.json": b'{"title": "no"}',
        "3.png": b"third",
    }
    path = write(tmp_path / "a.tar", files)
    assert [pair.captions for pair in read(path)] == [(), ("two",), ()]
    assert [pair.captions for pair in read(path, AskedColumns(caption="title"))] == [(), ("no",), ("no",)]
    assert [pair.group for pair in read(path, AskedColumns(group="id"))] == ["1", None, None]
    # A shard in which no sample has a caption is no reason to refuse the others.
    other = write(tmp_path / "b.tar", {"1.json": b'{"id": 1}', "1.png": b"image"})
    pairs = list(TarShards([other, path], NOTHING_ASKED))
    assert [pair.captions for pair in pairs] == [(), (), ("two",), ()]
    with_text = write(tmp_path / "c.tar", {"1.json": b'{"id": 1}', "1.png": b"image", "1.txt": b"one"})
    assert [pair.captions for pair in read(with_text)] == [("one",)]


@pytest.mark.parametrize("role", ["caption", "group", "split"])
def test_an_asked_column_that_no_sample_has(tmp_path: Path, role: str):
    asked = AskedColumns(**{role: "x"})
    path = write(tmp_path / "a.tar", {"1.png": b"image", "1.json": b'{"caption": "one"}'})
    with pytest.raises(MxqvaeError, match=rf"a\.tar: no column 'x'; choose --{role}-column from caption"):
        read(path, asked)
    path = write(tmp_path / "b.tar", {"1.png": b"image", "1.txt": b"one"})
    with pytest.raises(MxqvaeError, match=rf"b\.tar: no columns in it; leave out --{role}-column x"):
        read(path, asked)


def test_splits_of_shards_are_kept(tmp_path: Path):
    paths = [write(tmp_path / f"{name}-0.tar", {"1.png": b"x"}) for name in ("train", "test")]
    assert [pair.split for pair in TarShards(paths, NOTHING_ASKED)] == ["train", "test"]


def test_folders_in_shards_tell_splits(tmp_path: Path):
    files = {f"{folder}/1.{field}": b"x" for folder in ("train", "test") for field in ("png", "txt")}
    path = write(tmp_path / "all.tar", files)
    assert [pair.split for pair in read(path)] == ["train", "test"]
    path = write(tmp_path / "all.tar", files | {"more/1.png": b"x"})
    assert {pair.split for pair in read(path)} == {None}


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shards(tmp_path: Path, mode: str):
    path = write(tmp_path / f"a.tar.{mode[2:]}", {"1.png": b"image", "1.txt": b"one"}, mode)
    assert is_tar_name(path.name)
    assert [(pair.image, pair.captions) for pair in read(path)] == [(b"image", ("one",))]


@pytest.mark.parametrize("keep", [0, 100, 700])
def test_damage_is_named(tmp_path: Path, keep: int):
    path = write(tmp_path / "a.tar", {"1.png": bytes(1000)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MxqvaeError, match=r"a\.tar: damaged archive \(.*\); replace it"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"a\.tar/1\.json: not JSON"),
        (b"[" * 100_000, r"a\.tar/1\.json: not JSON"),
        (b"[]", r"a\.tar/1\.json: not a JSON object"),
        (b'{"id": 1}', r"a\.tar: no caption column found among id"),
    ],
)
def test_a_json_file_that_says_nothing(tmp_path: Path, content: bytes, message: str):
    path = write(tmp_path / "a.tar", {"1.json": content, "1.png": b""})
    with pytest.raises(MxqvaeError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_a_truncated_shard_never_gives_fewer_pairs(tmp_path: Path, name: str):
    names = [f"{number}.{suffix}" for number in range(8) for suffix in ("png", "txt")]
    mode = f"w:{name.removeprefix('a.tar').removeprefix('.')}"
    contents = {name: random.Random(name).randbytes(300) for name in names}
    path = write(tmp_path / name, contents, mode)
    whole = path.read_bytes()
    refusals = []
    for size in range(1, len(whole), len(whole) // 200 + 1):
        path.write_bytes(whole[:size])
        try:
            # Cut between two blocks it looks whole: some shards lack the zeros at the end.
            assert len(read(path)) == 8 or (name == "a.tar" and size % 512 == 0)
        except MxqvaeError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(f"{path}: damaged archive" in refusal for refusal in refusals)
