"""Reads the pairs of a folder, a chunk at a time, in constant memory, from any chunk on.

Two layouts: a data set of parquet shards, as `mxqvae data` writes it, and a sample folder, as `mxqvae sample`
does (`datasets`' imagefolder). What cannot be read is a pair without an image or caption, never an error.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.data.pairs import columns_of_use
from mxqvae.data.shard_files import find_shards, unreadable
from mxqvae.errors import MxqvaeError

METADATA_NAME = "metadata.jsonl"
CHUNK_SIZE = 1000
"""Rows of a chunk, at most: what is in memory, and what is read again after a stop."""
ROWS_READ = 250
"""Rows decoded at a time."""
BUFFER_SIZE = 1 << 20
"""Bytes of a column read ahead; without a limit, a whole row group of images would be."""


class PairKey(NamedTuple):
    """Where a pair stands in its source."""

    file: str
    """The shard or, in a sample folder, the image; relative to the folder, with slashes.

    `METADATA_NAME` where a line of a sample folder names no image that can be.
    """
    row: int
    """Row of the shard, or line of the metadata; from 0."""
    caption_number: int
    """Which of the row's captions, from 0."""


class FoundPair(NamedTuple):
    """A pair as it was found."""

    key: PairKey
    image: bytes | None
    """The encoded image; None where there is none."""
    caption: str
    """Empty where there is none."""


class Chunk(NamedTuple):
    """Consecutive rows."""

    number: int
    """From 0; the same rows have the same number in every run."""
    num_rows: int
    """Rows, each with one or several pairs."""
    pairs: list[FoundPair]
    """Their pairs."""


class PairFolder(Protocol):
    """A folder of pairs."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...

    @property
    def num_rows(self) -> int:
        """Rows of all chunks."""
        ...

    def identity(self) -> list[list[object]]:
        """Names, sizes and times of the files, images too, which change when the pairs do."""
        ...

    def chunk_sizes(self) -> list[int]:
        """The rows of each chunk."""
        ...

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        """The chunks from number `first` on."""
        ...

    def images(self, keys: Iterable[PairKey]) -> dict[PairKey, bytes]:
        """The encoded images of single pairs, read again."""
        ...


def open_pairs(folder: Path, split: str | None = None) -> PairFolder:
    """Find out what kind of folder it is.

    Args:
        split: One split of a data set; None: all of it.

    Raises:
        MxqvaeError: It is none, is damaged, or has no such split.
    """
    if not folder.is_dir():
        raise MxqvaeError(f"{folder} is not a folder; give a data set or a folder that `mxqvae sample` wrote")
    if (folder / METADATA_NAME).is_file():
        if split is not None:
            raise MxqvaeError(f"{folder} is a sample folder and has no splits; leave --split out")
        return SampleFolderPairs(folder)
    if not (folder / "data").is_dir():
        raise MxqvaeError(
            f"{folder} has neither data/*.parquet nor {METADATA_NAME}; make a data set of your images by "
            f"`mxqvae data folder {folder} --out DATA` and give that"
        )
    return ParquetPairs(folder, [path for paths in find_shards(folder, split).values() for path in paths])


class ParquetPairs:
    """Shards with a column `image` and a column `caption`, or `captions`, a list."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        """Look at the shards.

        Raises:
            MxqvaeError: One is damaged, or lacks a column or has another type in it.
        """
        self.folder, self._paths = folder, list(paths)
        self._columns: dict[Path, list[str]] = {}
        self.num_rows = 0
        for path in self._paths:
            file = _open(path)
            columns = columns_of_use(path, file.schema_arrow)
            self._columns[path] = [name for name in columns if name in ("image", "caption", "captions")]
            self.num_rows += file.metadata.num_rows

    def identity(self) -> list[list[object]]:
        return [_identity(self.folder, path) for path in self._paths]

    def chunk_sizes(self) -> list[int]:
        files = map(_open, self._paths)
        groups = (file.metadata.row_group(group) for file in files for group in range(file.num_row_groups))
        return [size for group in groups for size in _sizes(group.num_rows)]

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        number = 0
        for path in self._paths:
            file, row = _open(path), 0
            for group in range(file.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                num_chunks = len(_sizes(num_rows))
                if number + num_chunks <= first:
                    number, row = number + num_chunks, row + num_rows
                    continue
                rows = enumerate(_read_group(path, file, group, self._columns[path]), start=row)
                while some := list(islice(rows, CHUNK_SIZE)):
                    if number >= first:
                        pairs = [pair for place, cells in some for pair in self._pairs(path, place, cells)]
                        yield Chunk(number, len(some), pairs)
                    number += 1
                row += num_rows

    def images(self, keys: Iterable[PairKey]) -> dict[PairKey, bytes]:
        by_file: dict[str, list[PairKey]] = defaultdict(list)
        for key in keys:
            by_file[key.file].append(key)
        return {key: image for name, some in by_file.items() for key, image in self._images_of(name, some)}

    def _pairs(self, path: Path, row: int, cells: dict[str, Any]) -> Iterator[FoundPair]:
        name, image = _name(self.folder, path), _encoded(cells)
        for number, caption in enumerate(_captions(cells)):
            yield FoundPair(PairKey(name, row, number), image, caption)

    def _images_of(self, name: str, keys: Sequence[PairKey]) -> Iterator[tuple[PairKey, bytes]]:
        path = self.folder / name
        file, start = _open(path), 0
        wanted: dict[int, list[PairKey]] = defaultdict(list)
        for key in keys:
            wanted[key.row].append(key)
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if any(start <= row < stop for row in wanted):
                for row, cells in enumerate(_read_group(path, file, group, ["image"]), start=start):
                    if image := _encoded(cells):
                        yield from ((key, image) for key in wanted.get(row, []))
            start = stop


class SampleFolderPairs:
    """Images and a metadata.jsonl with `file_name` and `caption` in each line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.num_rows = sum(1 for _ in self._lines())

    def identity(self) -> list[list[object]]:
        """Of the list, and of all images that it names: how many, and the SHA-256 of names, sizes and times.

        An entry of its own for each image would make the record of an audit as long as the list.
        """
        digest, num = hashlib.sha256(), 0
        for line in self._lines():
            name, _ = _name_and_caption(line)
            if name is not None:
                digest.update(json.dumps([name, *self._size_and_time(name)]).encode() + b"\n")
                num += 1
        return [_identity(self.folder, self.folder / METADATA_NAME), ["images", num, digest.hexdigest()]]

    def chunk_sizes(self) -> list[int]:
        return _sizes(self.num_rows)

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        lines, number = enumerate(self._lines()), 0
        while some := list(islice(lines, CHUNK_SIZE)):
            if number >= first:
                yield Chunk(number, len(some), [self._pair(row, line) for row, line in some])
            number += 1

    def images(self, keys: Iterable[PairKey]) -> dict[PairKey, bytes]:
        found = {key: self._read(key.file) for key in keys if key.file != METADATA_NAME}
        return {key: image for key, image in found.items() if image is not None}

    def _lines(self) -> Iterator[bytes]:
        with (self.folder / METADATA_NAME).open("rb") as file:
            yield from (line for line in file if line.strip())

    def _pair(self, row: int, line: bytes) -> FoundPair:
        name, caption = _name_and_caption(line)
        if name is None:
            return FoundPair(PairKey(METADATA_NAME, row, 0), None, caption)
        return FoundPair(PairKey(name, row, 0), self._read(name), caption)

    def _read(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    def _size_and_time(self, name: str) -> tuple[int, int] | tuple[()]:
        path = self._path(name)
        try:
            status = None if path is None else path.stat()
        except OSError:
            status = None
        return () if status is None else (status.st_size, status.st_mtime_ns)

    def _path(self, name: str) -> Path | None:
        """Where an image lies; None where that cannot be in the folder."""
        path = self.folder / name
        try:
            # A name that leads out of the folder is not of this data set, whatever it names.
            return path if path.resolve().is_relative_to(self.folder.resolve()) else None
        except (OSError, ValueError, RuntimeError):  # a NUL in it, links in a circle
            return None


def _name_and_caption(line: bytes) -> tuple[str | None, str]:
    """What a line of metadata says of its image and of its caption, None and empty where that is no text."""
    try:
        cells = json.loads(line)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(cells, dict):
        return None, ""
    return _text(cells.get("file_name")) or None, _text(cells.get("caption"))


def _text(cell: Any) -> str:
    """The cell where it is a text that can be written as UTF-8, which half of a surrogate pair cannot."""
    try:
        return cell if isinstance(cell, str) and cell.encode() else ""
    except UnicodeEncodeError:
        return ""


def captions_of_pairs(rows: pa.Table) -> list[list[str]]:
    """The captions of the pairs that are found in each row of a shard; empty where there is none."""
    names = [name for name in ("caption", "captions") if name in rows.column_names]
    return [_captions(cells) for cells in _rows(rows.select(names))]


def _captions(cells: dict[str, Any]) -> list[str]:
    captions = cells["captions"] if "captions" in cells else [cells["caption"]]
    return [caption or "" for caption in captions or [None]]


def _sizes(num_rows: int) -> list[int]:
    """Cut rows into chunks, the last of which may be smaller."""
    return [min(CHUNK_SIZE, num_rows - start) for start in range(0, num_rows, CHUNK_SIZE)]


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=BUFFER_SIZE)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def _read_group(
    path: Path, file: pq.ParquetFile, group: int, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of one row group."""
    try:
        for batch in file.iter_batches(ROWS_READ, row_groups=[group], columns=list(columns)):
            yield from _rows(batch)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def _rows(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """All cells; None for one whose text is not UTF-8."""
    try:
        return table.to_pylist()
    except UnicodeDecodeError:
        columns = {name: [_cell(scalar) for scalar in table[name]] for name in table.schema.names}
        return [{name: columns[name][row] for name in columns} for row in range(table.num_rows)]


def _cell(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return None


def _encoded(cells: dict[str, Any]) -> bytes | None:
    image = cells["image"]
    return None if image is None else image["bytes"] or None


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _identity(folder: Path, path: Path) -> list[object]:
    status = path.stat()
    return [_name(folder, path), status.st_size, status.st_mtime_ns]
