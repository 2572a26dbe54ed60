"""What an archive holds, read one file at a time, alike from a folder, a zip archive or a tar archive."""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from mxqvae.data.captioned_images.source import FileRange
from mxqvae.data.captioned_images.tar_archive import WholeHeader, damage_is_named, open_plain
from mxqvae.errors import MxqvaeError
from mxqvae.progress import NoProgress, Progress

_Place = TypeVar("_Place")


class Contents(Protocol):
    """Files below one folder, named from there with slashes."""

    path: Path
    """The folder or the archive, for messages."""

    def image(self, name: str) -> bytes | FileRange:
        """An encoded image, or where it lies; one that is nowhere is missing when it is read."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            MxqvaeError: There is no such file.
        """
        ...


@contextmanager
def open_contents(path: Path, root: str, progress: Progress | None = None) -> Iterator[Contents]:
    """Open a folder or an archive that holds a folder named `root`.

    A compressed tar archive cannot be read here and there: it is decompressed to a temporary file (`TMPDIR`
    says where), which is removed at the end.

    Args:
        path: The folder `root` itself, a `.zip`, or a `.tar`, compressed or not.

    Raises:
        MxqvaeError: The archive is damaged or holds no such folder.
    """
    if path.is_dir():
        yield _Folder(path)
    elif path.suffix == ".zip":
        with damage_is_named(path):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _Zip(path, archive, root)
    else:
        with tempfile.TemporaryDirectory(prefix="mxqvae-") as folder:
            plain = Path(folder, "plain.tar")
            (progress or NoProgress()).say(f"unpack {path} to {plain}")
            with damage_is_named(path):
                _decompress(path, plain)
                contents = _Tar(path, plain, root)
            yield contents


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def image(self, name: str) -> FileRange:
        return FileRange(str(self.path / name))

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise _lacking(self.path, name) from None


class _Zip:
    def __init__(self, path: Path, archive: zipfile.ZipFile, root: str) -> None:
        self.path = path
        self._archive = archive
        self._members = _below(root, ((info.filename, info) for info in archive.infolist()), path)

    def image(self, name: str) -> bytes | FileRange:
        return self.read(name) if name in self._members else _nowhere(self.path, name)

    def read(self, name: str) -> bytes:
        if name not in self._members:
            raise _lacking(self.path, name)
        with damage_is_named(self.path):
            return self._archive.read(self._members[name])


class _Tar:
    def __init__(self, path: Path, plain: Path, root: str) -> None:
        self.path = path
        with tarfile.open(plain, "r:", tarinfo=WholeHeader) as archive:
            ranges = (
                (member.name, FileRange(str(plain), member.offset_data, member.size))
                for member in archive
                if member.isreg()
            )
            self._ranges = _below(root, ranges, path)

    def image(self, name: str) -> FileRange:
        return self._ranges.get(name) or _nowhere(self.path, name)

    def read(self, name: str) -> bytes:
        if name not in self._ranges:
            raise _lacking(self.path, name)
        return self._ranges[name].read()


def _below(root: str, members: Iterable[tuple[str, _Place]], path: Path) -> dict[str, _Place]:
    """Members of the folder `root` by their names from there."""
    found = {
        name.removeprefix("./").removeprefix(f"{root}/"): member
        for name, member in members
        if name.removeprefix("./").startswith(f"{root}/") and not name.endswith("/")
    }
    if not found:
        raise MxqvaeError(f"{path}: holds no folder {root}/; put the published archive there")
    return found


def _decompress(path: Path, plain: Path) -> None:
    with open_plain(path) as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _lacking(path: Path, name: str) -> MxqvaeError:
    return MxqvaeError(f"{path} lacks {name}; put the published file there")


def _nowhere(path: Path, name: str) -> FileRange:
    return FileRange(f"{path}:{name}")  # reported as missing when it is read
