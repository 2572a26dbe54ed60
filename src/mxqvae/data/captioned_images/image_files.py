"""Finds image files: all in a folder, or those that a list of captions names."""

import os
import posixpath
import tarfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mxqvae.data.captioned_images.source import FileRange
from mxqvae.data.captioned_images.tar_archive import WholeHeader

IMAGE_SUFFIXES = frozenset(
    [
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".apng",
            ".gif",
            ".webp",
            ".bmp",
            ".dib",
            ".tif",
            ".tiff",
        ),
        *(".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".tga"),
        # Not read, but reported: to pass over them would lose images in silence.
        *(".heic", ".heif", ".jxl", ".svg"),
    ]
)


def is_image_name(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (Path is slow for a million names)


def is_hidden(name: str) -> bool:
    """Whether systems hide a file or folder of this name, such as the "._1.jpg" of macOS."""
    return name.startswith((".", "__MACOSX"))


def walk_files(folder: Path) -> Iterator[Path]:
    """All files below `folder`, in the same order on every machine; hidden ones are passed over.

    Links to folders are followed, last; a folder that is met again is passed over.

    Raises:
        OSError: A folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    met: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        if (real := os.path.realpath(place)) in met:
            folders.clear()
            continue
        met.add(real)
        seen = [name for name in folders if not is_hidden(name)]
        folders[:] = sorted(seen, key=lambda name: (Path(place, name).is_symlink(), name))
        for name in sorted(files):
            if not is_hidden(name):
                yield Path(place, name)


class ImageFinder:
    """Finds images by the names that a list of captions gives them.

    A name is looked for below each of the folders, then in the uncompressed `.tar` files that lie in them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def find(self, name: str) -> FileRange:
        """Where the image lies; one that is nowhere is missing when it is read."""
        for spelling in _spellings(name):
            for folder in self._folders:
                # Not Path.is_file: it raises on a name that is too long, or of halves of surrogate pairs.
                if os.path.isfile(folder / spelling):  # noqa: PTH113
                    return FileRange(str(folder / spelling))
            if place := self._in_tars.get(spelling.removeprefix("./")):
                return place
        return FileRange(str(self._folders[0] / name))

    @cached_property
    def _in_tars(self) -> dict[str, FileRange]:
        ranges: dict[str, FileRange] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.tar")):
                try:
                    ranges = files_in_tar(path) | ranges
                except (tarfile.TarError, OSError):
                    continue  # its images are reported as missing, by name
        return ranges


class TarImageFinder:
    """Finds images in one uncompressed tar archive by the names that a list in it gives them.

    A name is looked for below each of the folders of the archive.
    """

    def __init__(self, path: Path, files: Mapping[str, FileRange], folders: Sequence[str]) -> None:
        """`files` is what `files_in_tar` found."""
        self._path = path
        self._files = files
        self._folders = folders

    def find(self, name: str) -> FileRange:
        """Where the image lies; one that is nowhere is missing when it is read."""
        for spelling in _spellings(name):
            for folder in self._folders:
                if place := self._files.get(posixpath.normpath(posixpath.join(folder, spelling))):
                    return place
        return FileRange(f"{self._path}/{name}")


def files_in_tar(path: Path) -> dict[str, FileRange]:
    """Where the files of an uncompressed tar archive lie, by their names in it, those of hard links too.

    Raises:
        tarfile.TarError: It is none.
        OSError: It cannot be read.
    """
    ranges: dict[str, FileRange] = {}
    with tarfile.open(path, "r:", tarinfo=WholeHeader) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isreg():
                ranges[name] = FileRange(str(path), member.offset_data, member.size)
            elif member.islnk() and (place := ranges.get(member.linkname.removeprefix("./"))):
                ranges[name] = place
    return ranges


def _spellings(name: str) -> Iterator[str]:
    """The name as it is, then as Windows and macOS write it and others do not."""
    yield name
    bases = (name, name.replace("\\", "/"))  # separators of Windows
    forms = [unicodedata.normalize(form, base) for base in bases for form in ("NFC", "NFD")]  # NFD of macOS
    yield from dict.fromkeys(spelling for spelling in (*bases, *forms) if spelling != name)
