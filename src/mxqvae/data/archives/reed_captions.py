"""The captions of Reed et al. (CVPR 2016) for Flower-102 and CUB: `text_c10/CLASS/IMAGE.txt`, ten lines each.

Their archives hold many other files, and are read from start to end once.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mxqvae.data.captioned_images.captions import captions_in_text
from mxqvae.data.captioned_images.tar_archive import WholeHeader, damage_is_named, open_plain
from mxqvae.errors import MxqvaeError

FOLDER = "text_c10"

Captions = dict[str, tuple[str, ...]]
"""Captions by the image's class and file name, without its suffix: `class_00077/image_00001`."""


def read_reed_captions(path: Path) -> Captions:
    """Read the captions of all images.

    Args:
        path: The archive, or the folder `text_c10` that was unpacked from it.

    Raises:
        MxqvaeError: There are no captions in it, or the archive is damaged.
    """
    files = _files_of_folder(path) if path.is_dir() else _files_of_archive(path)
    captions = {name: captions_in_text(content) for name, content in files}
    if not captions:
        raise MxqvaeError(f"{path}: holds no captions {FOLDER}/CLASS/IMAGE.txt; put the published ones there")
    return captions


def _files_of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((f"{path.parent.name}/{path.stem}", path.read_bytes()) for path in sorted(folder.glob("*/*.txt")))


def _files_of_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    with (
        damage_is_named(path),
        open_plain(path) as plain,
        tarfile.open(fileobj=plain, mode="r|", tarinfo=WholeHeader) as archive,
    ):
        for member in archive:
            name = PurePosixPath(member.name)
            is_caption = name.suffix == ".txt" and name.parts[-3:-2] == (FOLDER,)
            file = archive.extractfile(member) if is_caption and member.isreg() else None
            if file is not None:
                yield f"{name.parts[-2]}/{name.stem}", file.read()
