import gzip
import io
import tarfile
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.listed_tars import ListedTars, lists_in_tar
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.captioned_images.source import FileRange, SourcePair
from mxqvae.data.captioned_images.square_image import make_square
from mxqvae.errors import MxqvaeError


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def read(*paths: Path) -> list[SourcePair]:
    return list(ListedTars({path: lists_in_tar(path) for path in paths}, AskedColumns()))


def image_of(pair: SourcePair) -> bytes:
    assert isinstance(pair.image, FileRange)
    return pair.image.read()


def test_names_are_relative_to_their_list(tmp_path: Path):
    path = write(
        tmp_path / "a.tar",
        {
            "./x/metadata.csv": b"file_name,caption\n1.png,one\n./1.png,same\nin/2.png,two\n",
            "./x/1.png": b"x1",
            "./x/images/in/2.png": b"x2",
            "y/metadata.csv": b"file_name,caption\n1.png,three\n",
            "y/1.png": b"y1",
            "captions.jsonl": b"{}",
        },
    )
    assert [captions.count() for captions in lists_in_tar(path)] == [3, 1]
    assert [(pair.name, image_of(pair), pair.captions) for pair in read(path)] == [
        ("1.png", b"x1", ("one",)),
        ("./1.png", b"x1", ("same",)),
        ("in/2.png", b"x2", ("two",)),
        ("1.png", b"y1", ("three",)),
    ]


def test_archives_of_equal_names_are_kept_apart(tmp_path: Path):
    paths = [
        write(
            tmp_path / f"{name}.tar",
            {"metadata.jsonl": b'{"file_name": "1.png", "text": "t"}', "1.png": name.encode()},
        )
        for name in "ab"
    ]
    assert [image_of(pair) for pair in read(*paths)] == [b"a", b"b"]


def test_splits_of_archives_are_kept(tmp_path: Path):
    files = {"metadata.jsonl": b'{"file_name": "1.png", "text": "t"}'}
    paths = [write(tmp_path / f"{name}.tar", files) for name in ("train", "test")]
    assert [pair.split for pair in read(*paths)] == ["train", "test"]


def test_an_image_that_is_missing_is_told(tmp_path: Path):
    path = write(tmp_path / "a.tar", {"metadata.jsonl": b'{"file_name": "b/1.png", "text": "t"}'})
    (pair,) = read(path)
    assert pair.image is not None
    assert make_square(pair.image, 8).problems == ((ProblemKind.MISSING, ""),)


def test_other_files_have_no_lists(tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(gzip.compress(b"an archive"))
    assert lists_in_tar(tmp_path / "a.tar") == []
    assert lists_in_tar(write(tmp_path / "b.tar", {"1.png": b"x", "1.txt": b"one"})) == []


def test_a_damaged_archive_is_named(tmp_path: Path):
    path = write(tmp_path / "a.tar", {"metadata.jsonl": b"{}", "1.png": bytes(2000), "2.png": b"x"})
    content = path.read_bytes()
    for length in (10, 3 * 512 + 700, content.index(b"2.png") + 300):  # in a header, an image, a later header
        path.write_bytes(content[:length])
        with pytest.raises(MxqvaeError, match=r"a\.tar: damaged archive \(.*; replace it$"):
            lists_in_tar(path)


def test_folders_in_an_archive_tell_splits(tmp_path: Path):
    row = b'{"file_name": "1.png", "text": "t"}'
    path = write(tmp_path / "all.tar", {f"{name}/metadata.jsonl": row for name in ("train", "test", "val")})
    assert [pair.split for pair in read(path)] == ["test", "train", "validation"]
