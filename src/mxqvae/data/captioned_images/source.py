"""What every layout of captioned images is read as: pairs in a fixed order, images not decoded yet."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class FileRange(NamedTuple):
    """Where an encoded image lies on disk; it is read where it is decoded."""

    path: str
    """A file."""
    offset: int = 0
    """Its first byte."""
    size: int = -1
    """Bytes; -1 for all up to the end."""

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            FileNotFoundError: There is no such file, or with such a name there cannot be one.
            OSError: It cannot be read.
        """
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except ValueError as error:  # a NUL in the name, or half of a surrogate pair
            raise FileNotFoundError(errno.ENOENT, str(error)) from None
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR):
                raise FileNotFoundError(errno.ENOENT, str(error)) from None
            raise


class Box(NamedTuple):
    """The part of an image that shows the subject, in pixels from the upper left."""

    left: float
    top: float
    width: float
    height: float


class SourcePair(NamedTuple):
    """An image with its captions, as found."""

    name: str
    """For messages: a file, or a file and a row."""
    image: bytes | FileRange | None
    """Encoded in any format; None for captions without an image."""
    captions: tuple[str, ...] = ()
    """As found, empty ones too; bytes that are not UTF-8 as surrogate escapes (PEP 383)."""
    group: str | None = None
    """Pairs of one group stay in one split."""
    split: str | None = None
    """The published split, where there is one: of `splitting.SPLITS`."""
    box: Box | None = None
    """What to crop to, where it is known."""
    is_named: bool = True
    """Whether the list names it, where there is one; an image that it does not name is left out."""


class PairSource(Protocol):
    """Captioned images in one layout."""

    layout: str
    """In words, such as "WebDataset tar shards"."""

    def count(self) -> int:
        """About how many pairs there are, for the progress bar; reads no images."""
        ...

    def __iter__(self) -> Iterator[SourcePair]:
        """The pairs, in the same order every time, one at a time.

        Raises:
            MxqvaeError: Names the file that is damaged, or lacks a column.
        """
        ...


def printable(name: str) -> str:
    """The name of a file without what cannot be written as UTF-8."""
    # Halves of surrogate pairs, from broken JSON escapes, are no bytes of a name.
    name = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
