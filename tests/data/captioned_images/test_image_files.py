import io
import os
import tarfile
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from mxqvae.data.captioned_images.image_files import ImageFinder, TarImageFinder, files_in_tar, walk_files
from mxqvae.data.captioned_images.source import FileRange


def write_tar(path: Path, name: str) -> Path:
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 5
        tar.addfile(member, io.BytesIO(b"image"))
    return path


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "name",
    ["./größe/é.png", "größe/é.png", "größe\\é.png", "gro\u0308ße/e\u0301.png", ".\\gro\u0308ße\\é.png"],
)
def test_names_as_other_systems_write_them(tmp_path: Path, name: str, form: Literal["NFC", "NFD"]):
    stored = unicodedata.normalize(form, "größe/é.png")
    (tmp_path / "files" / stored).parent.mkdir(parents=True)
    (tmp_path / "files" / stored).write_bytes(b"image")
    (tmp_path / "tars").mkdir()
    path = write_tar(tmp_path / "tars" / "a.tar", stored)
    for finder in (
        ImageFinder([tmp_path, tmp_path / "files"]),
        ImageFinder([tmp_path / "tars"]),
        TarImageFinder(path, files_in_tar(path), [""]),
    ):
        assert finder.find(name).read() == b"image"


def test_a_name_as_it_is_goes_first(tmp_path: Path):
    for name in ("a\\b.png", "e\u0301.png", "é.png"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").touch()
    for name in ("a\\b.png", "e\u0301.png", "é.png"):
        assert ImageFinder([tmp_path]).find(name) == FileRange(str(tmp_path / name))


def test_a_missing_image_keeps_its_name(tmp_path: Path):
    assert ImageFinder([tmp_path]).find("a\\é.png") == FileRange(str(tmp_path / "a\\é.png"))


def test_links_to_folders_are_followed_once(tmp_path: Path):
    photos, more = tmp_path / "photos", tmp_path / "more"
    for folder in (photos / "x", more):
        folder.mkdir(parents=True)
        (folder / "1.png").touch()
    (photos / "a-link").symlink_to(photos / "x")
    (photos / "b-link").symlink_to(more)
    (photos / "loop").symlink_to(photos)
    found = [path.relative_to(photos).as_posix() for path in walk_files(photos)]
    assert found == ["x/1.png", "b-link/1.png"]


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(place: str) -> object:
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        list(walk_files(tmp_path))
