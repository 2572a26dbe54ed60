"""Archives: compressed tars opened, damaged ones of any kind named."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mxqvae.errors import MxqvaeError

_COMPRESSIONS: dict[bytes, Callable[[Path, str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""By the first bytes of a file."""


class WholeHeader(tarfile.TarInfo):
    """A member's header; half of one is an error, and not the end of the archive as tarfile takes it."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.TruncatedHeaderError:  # pyright: ignore[reportAttributeAccessIssue]
            raise tarfile.ReadError("truncated header") from None


def is_compressed(path: Path) -> bool:
    """Whether a file begins as compressed ones do."""
    return _opener(path) is not None


def open_plain(path: Path) -> IO[bytes]:
    """Open an archive decompressed. Not by tarfile, which takes the end of a truncated one for its end."""
    open_compressed = _opener(path)
    return path.open("rb") if open_compressed is None else open_compressed(path, "rb")


def _opener(path: Path) -> Callable[[Path, str], Any] | None:
    with path.open("rb") as file:
        magic = file.read(6)
    return next((opener for beginning, opener in _COMPRESSIONS.items() if magic.startswith(beginning)), None)


@contextmanager
def damage_is_named(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged archive into one that names it."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; those of gzip and bz2 have no number
        raise MxqvaeError(f"{path}: damaged archive ({error}); replace it") from None
