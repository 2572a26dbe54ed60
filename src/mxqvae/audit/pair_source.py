"""Reads the pairs to audit, a chunk at a time, in constant memory, from any chunk on.

Two layouts: a data set of parquet shards, as `mxqvae data` writes it, and a sample folder, as `mxqvae sample`
does (`datasets`' imagefolder). What cannot be read is a pair without an image or caption, never an error.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.errors import MxqvaeError
from mxqvae.generation.sample_folder import METADATA_NAME

CHUNK_SIZE = 1000
"""Rows of a chunk, at most: what is in memory, and what is lost when an audit is stopped."""
ROWS_READ = 250
"""Rows decoded at a time."""
BUFFER_SIZE = 1 << 20
"""Bytes of a column read ahead; without a limit, a whole row group of images would be."""

_SHARD_NAME = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}\.parquet")


class PairKey(NamedTuple):
    """Where a pair stands in its source."""

    file: str
    """The shard or, in a sample folder, the image; relative to the folder, with slashes."""
    row: int
    """Row of the shard, or line of the metadata; from 0."""
    caption_number: int
    """Which of the row's captions, from 0."""


class SourcePair(NamedTuple):
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
    pairs: list[SourcePair]
    """Their pairs."""


class PairSource(Protocol):
    """A folder of pairs."""

    @property
    def num_rows(self) -> int:
        """Rows of all chunks."""
        ...

    def identity(self) -> list[list[object]]:
        """Names, sizes and times of the files, which change when the pairs do."""
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


def open_pairs(folder: Path, split: str | None = None) -> PairSource:
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
    shards = [
        (match["split"], path)
        for path in sorted((folder / "data").glob("*.parquet"))
        if (match := _SHARD_NAME.fullmatch(path.name))
    ]
    if not shards:
        raise MxqvaeError(
            f"{folder} has neither data/*.parquet nor {METADATA_NAME}; give a data set or a sample folder"
        )
    paths = [path for name, path in shards if split in (None, name)]
    if not paths:
        splits = sorted({name for name, _ in shards})
        raise MxqvaeError(f"data set {folder}: no split {split!r}; choose from {', '.join(splits)}")
    return ParquetPairs(folder, paths)


class ParquetPairs:
    """Shards with a column `image` and a column `caption`, or `captions`, a list."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        self._folder, self._paths = folder, list(paths)
        self.num_rows = sum(_open(path).metadata.num_rows for path in self._paths)

    def identity(self) -> list[list[object]]:
        return [_identity(self._folder, path) for path in self._paths]

    def chunk_sizes(self) -> list[int]:
        files = map(_open, self._paths)
        groups = (file.metadata.row_group(group) for file in files for group in range(file.num_row_groups))
        return [size for group in groups for size in _sizes(group.num_rows)]

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        number = 0
        for path in self._paths:
            file, row = _open(path), 0
            columns = _columns(path, file.schema_arrow.names)
            for group in range(file.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                num_chunks = len(_sizes(num_rows))
                if number + num_chunks <= first:
                    number, row = number + num_chunks, row + num_rows
                    continue
                rows = enumerate(_read_group(path, file, group, columns), start=row)
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

    def _pairs(self, path: Path, row: int, cells: dict[str, Any]) -> Iterator[SourcePair]:
        captions = cells["captions"] if "captions" in cells else [cells["caption"]]
        name, image = _name(self._folder, path), _encoded(cells)
        for number, caption in enumerate(captions or [None]):
            yield SourcePair(PairKey(name, row, number), image, caption or "")

    def _images_of(self, name: str, keys: Sequence[PairKey]) -> Iterator[tuple[PairKey, bytes]]:
        path = self._folder / name
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
        self._folder = folder
        with (folder / METADATA_NAME).open("rb") as file:
            self.num_rows = sum(1 for line in file if line.strip())

    def identity(self) -> list[list[object]]:
        return [_identity(self._folder, self._folder / METADATA_NAME)]

    def chunk_sizes(self) -> list[int]:
        return _sizes(self.num_rows)

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        with (self._folder / METADATA_NAME).open("rb") as file:
            lines = enumerate(line for line in file if line.strip())
            number = 0
            while some := list(islice(lines, CHUNK_SIZE)):
                if number >= first:
                    yield Chunk(number, len(some), [self._pair(row, line) for row, line in some])
                number += 1

    def images(self, keys: Iterable[PairKey]) -> dict[PairKey, bytes]:
        found = {key: self._read(key.file) for key in keys}
        return {key: image for key, image in found.items() if image is not None}

    def _pair(self, row: int, line: bytes) -> SourcePair:
        try:
            cells = json.loads(line)
            name, caption = str(cells["file_name"]), str(cells["caption"])
        except (ValueError, LookupError, TypeError):
            return SourcePair(PairKey(METADATA_NAME, row, 0), None, "")
        return SourcePair(PairKey(name, row, 0), self._read(name), caption)

    def _read(self, name: str) -> bytes | None:
        path = self._folder / name
        # A name that leads out of the folder is not of this data set, whatever it names.
        if not path.resolve().is_relative_to(self._folder.resolve()):
            return None
        try:
            return path.read_bytes()
        except OSError:
            return None


def _sizes(num_rows: int) -> list[int]:
    """Cut rows into chunks, the last of which may be smaller."""
    return [min(CHUNK_SIZE, num_rows - start) for start in range(0, num_rows, CHUNK_SIZE)]


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=BUFFER_SIZE)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    caption = "captions" if "captions" in names else "caption"
    missing = [name for name in ("image", caption) if name not in names]
    if missing:
        raise MxqvaeError(
            f"{path}: no column {' and '.join(missing)} (it has {', '.join(names)}); rename or add it"
        )
    return ["image", caption]


def _read_group(
    path: Path, file: pq.ParquetFile, group: int, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of one row group."""
    try:
        for batch in file.iter_batches(ROWS_READ, row_groups=[group], columns=list(columns)):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _encoded(cells: dict[str, Any]) -> bytes | None:
    image = cells["image"]
    return (image.get("bytes") if isinstance(image, dict) else image) or None


def _unreadable(path: Path, error: Exception) -> MxqvaeError:
    reason = str(error).partition("\n")[0]
    return MxqvaeError(
        f"{path}: not a readable parquet file ({reason}); replace it or build the data set again"
    )


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _identity(folder: Path, path: Path) -> list[object]:
    status = path.stat()
    return [_name(folder, path), status.st_size, status.st_mtime_ns]
