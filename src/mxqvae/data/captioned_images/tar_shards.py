"""WebDataset tar shards: `.jpg` and `.txt` or `.json` files of one name, one after the other, are a pair."""

import bz2
import gzip
import json
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

from mxqvae.data.captioned_images.captions import captions_in_text
from mxqvae.data.captioned_images.columns import AskedColumns, Columns, find_caption_columns
from mxqvae.data.captioned_images.image_files import is_image_name
from mxqvae.data.captioned_images.source import SourcePair, printable
from mxqvae.errors import MxqvaeError

_COMPRESSIONS: dict[bytes, Callable[[Path, str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""By the first bytes of a file."""
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_tar_name(name: str) -> bool:
    """Whether a file's name says that it is a tar archive."""
    return name.lower().endswith(TAR_SUFFIXES)


class _Member(NamedTuple):
    key: str  # folder and name up to the first dot
    field: str  # what follows the key, lower case, such as "jpg" or "seg.png"
    content: bytes


class _WholeHeader(tarfile.TarInfo):
    """A member's header; half of one is an error, and not the end of the archive as tarfile takes it."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.TruncatedHeaderError:  # pyright: ignore[reportAttributeAccessIssue]
            raise tarfile.ReadError("truncated header") from None


class TarShards:
    """Shards, read one after the other, from start to end."""

    layout = "WebDataset tar shards"

    def __init__(self, paths: Sequence[Path], asked: AskedColumns) -> None:
        self._paths = paths
        self._asked = asked

    def count(self) -> int:
        num = 0
        for path in self._paths:
            with _damage_is_named(path):
                num += sum(is_image_name(member.name) for _, member in _walk(path))
        return num

    def __iter__(self) -> Iterator[SourcePair]:
        for path in self._paths:
            with _damage_is_named(path):
                for key, members in groupby(_members(path), lambda member: member.key):
                    yield self._pair(f"{path.name}/{printable(key)}", list(members))

    def _pair(self, name: str, members: Sequence[_Member]) -> SourcePair:
        fields = {member.field: member.content for member in members}
        # Beside "jpg" there may be such as "mask.png": the plainest name is the image itself.
        images = sorted((field for field in fields if is_image_name(f"x.{field}")), key=_num_dots)
        image = fields[images[0]] if images else None
        text, metadata = fields.get("txt"), fields.get("json")
        row = None if metadata is None else _json_object(metadata, name)
        captions: tuple[str, ...] = ()
        if text is not None and self._asked.caption is None:
            captions = captions_in_text(text)
        elif row is not None:
            columns = find_caption_columns(list(row), self._asked, f"{name}.json")
            captions = Columns("", columns, None).captions_of(row, f"{name}.json")
        others = Columns("", (), self._asked.group, self._asked.split)
        group, split = others.group_of(row or {}), others.split_of(row or {}, f"{name}.json")
        return SourcePair(name, image, captions, group=group, split=split)


def _walk(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The regular files of an archive, in its order."""
    with _open_plain(path) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_WholeHeader) as tar:
        for member in tar:
            if member.isreg() and not posixpath.basename(member.name).startswith("."):
                yield tar, member


def _open_plain(path: Path) -> IO[bytes]:
    """Open an archive decompressed. Not by tarfile, which takes the end of a truncated one for its end."""
    with path.open("rb") as file:
        magic = file.read(6)
    for beginning, open_compressed in _COMPRESSIONS.items():
        if magic.startswith(beginning):
            return open_compressed(path, "rb")
    return path.open("rb")


def _members(path: Path) -> Iterator[_Member]:
    """What is of use in an archive, with its content."""
    for tar, member in _walk(path):
        folder, name = posixpath.split(member.name.removeprefix("./"))
        stem, _, field = name.partition(".")
        if is_image_name(name) or field.lower() in ("txt", "json"):
            file = tar.extractfile(member)
            assert file is not None
            yield _Member(posixpath.join(folder, stem), field.lower(), file.read())


@contextmanager
def _damage_is_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; those of gzip and bz2 have no number
        raise MxqvaeError(f"{path}: damaged tar archive ({error}); replace it") from None


def _num_dots(field: str) -> int:
    return field.count(".")


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        row = json.loads(content.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MxqvaeError(f"{name}.json: not JSON ({error}); mend it") from None
    if not isinstance(row, dict):
        raise MxqvaeError(f"{name}.json: not a JSON object; mend it")
    return row
