import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives.contents import open_contents
from mxqvae.data.captioned_images.source import FileRange
from mxqvae.errors import MxqvaeError

FILES = {
    "set/a.txt": b"one",
    "set/images/b.jpg": b"picture",
    "set/images/c.jpg": b"",
    "other/set/d.jpg": b"x",
}


def write_plain_tar(path: Path, source: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(source, "./set")


@pytest.fixture(params=["folder", "set.zip", "set.tgz", "set.tar"])
def packed(request: pytest.FixtureRequest, tmp_path: Path, write_archive: Callable) -> Path:
    """The files in a folder, and in archives of each kind."""
    path = tmp_path / request.param
    if request.param in ("set.zip", "set.tgz"):
        write_archive(path, FILES)
        return path
    for name, content in FILES.items():
        place = tmp_path / "folder" / name.removeprefix("set/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    if request.param == "set.tar":
        write_plain_tar(path, tmp_path / "folder")
    return path


def read(image: bytes | FileRange) -> bytes:
    return image.read() if isinstance(image, FileRange) else image


def test_folders_and_archives_read_alike(packed: Path):
    with open_contents(packed, "set") as contents:
        assert contents.path == packed
        assert contents.read("a.txt") == b"one"
        assert read(contents.image("images/b.jpg")) == b"picture"
        assert read(contents.image("images/c.jpg")) == b""
        for name in ("d.jpg", "images/d.jpg", "set/a.txt"):
            with pytest.raises(FileNotFoundError):
                read(contents.image(name))
        with pytest.raises(MxqvaeError, match=rf"{packed} lacks b\.txt; put the published file there"):
            contents.read("b.txt")


def test_what_was_decompressed_is_removed(tmp_path: Path, write_archive: Callable):
    write_archive(tmp_path / "set.tgz", FILES)
    with open_contents(tmp_path / "set.tgz", "set") as contents:
        image = contents.image("images/b.jpg")
    assert isinstance(image, FileRange)
    assert not Path(image.path).parent.exists()


@pytest.mark.parametrize("name", ["set.zip", "set.tgz"])
def test_archives_of_something_else(tmp_path: Path, write_archive: Callable, name: str):
    write_archive(tmp_path / name, FILES)
    with (
        pytest.raises(
            MxqvaeError, match=rf"{name}: holds no folder images/; put the published archive there"
        ),
        open_contents(tmp_path / name, "images"),
    ):
        pass


@pytest.mark.parametrize("name", ["set.zip", "set.tgz"])
@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-40], lambda content: b"nothing of the kind" * 99],
    ids=["no tail", "another"],
)
def test_damaged_archives(tmp_path: Path, write_archive: Callable, name: str, damage: Callable):
    path = tmp_path / name
    write_archive(path, FILES)
    path.write_bytes(damage(path.read_bytes()))
    with (
        pytest.raises(MxqvaeError, match=rf"{name}: damaged archive \(.*\); replace it"),
        open_contents(path, "set"),
    ):
        pass


def test_half_a_header_is_not_the_end_of_an_archive(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(b"one")
    path = tmp_path / "set.tar"
    write_plain_tar(path, tmp_path / "folder")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[: last + 100])
    with (
        pytest.raises(MxqvaeError, match=r"set\.tar: damaged archive \(truncated header\); replace it"),
        open_contents(path, "set"),
    ):
        pass
