from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives.reed_captions import read_reed_captions
from mxqvae.errors import MxqvaeError

FILES = {
    "text_c10/class_00001/image_00007.txt": b"one .\ntwo .\n",
    "text_c10/class_00001/image_00007.h5": b"vectors",
    "text_c10/class_00002/image_00008.txt": b"caf\xe9\n\n",
    "text_c10/readme.txt": b"no caption",
}
CAPTIONS = {
    "class_00001/image_00007": ("one .", "two ."),
    "class_00002/image_00008": ("caf\udce9",),
}


@pytest.mark.parametrize("root", ["", "cvpr2016_flowers/", "./a/b/"])
def test_captions_in_an_archive(tmp_path: Path, write_archive: Callable, root: str):
    path = tmp_path / "captions.tar.gz"
    write_archive(path, {root + name: content for name, content in FILES.items()})
    assert read_reed_captions(path) == CAPTIONS


def test_captions_in_a_folder(tmp_path: Path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert read_reed_captions(tmp_path / "text_c10") == CAPTIONS


def test_no_captions(tmp_path: Path, write_archive: Callable):
    path = tmp_path / "captions.tar.gz"
    write_archive(path, {"word_c10/class_00001/image_00007.txt": b"x"})
    for place in (path, tmp_path):
        with pytest.raises(MxqvaeError, match=f"{place}: holds no captions text_c10/CLASS/IMAGE.txt"):
            read_reed_captions(place)


def test_a_truncated_archive_never_gives_fewer_captions(tmp_path: Path, write_archive: Callable):
    path = tmp_path / "captions.tar.gz"
    write_archive(path, FILES)
    whole = path.read_bytes()
    refusals = []
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        try:
            assert read_reed_captions(path) == CAPTIONS  # what is missing is padding
        except MxqvaeError as error:
            refusals.append(str(error))
    assert len(refusals) > len(whole) // 7 * 0.8
    assert all(f"{path}: damaged archive" in refusal for refusal in refusals)
    path.write_bytes(b"<html>")
    with pytest.raises(MxqvaeError, match=r"captions\.tar\.gz: damaged archive"):
        read_reed_captions(path)
