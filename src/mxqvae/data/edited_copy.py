"""Copies a data set of parquet shards, its rows edited on the way, in the memory that one row group takes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.data.shard_files import find_shards, unreadable
from mxqvae.data.tokenizer import TOKENIZER_FILE

Edit = Callable[[Path, int, pa.Table], pa.Table]
"""From a shard's path in its folder, the number in it of the first row, and rows, to the rows to write."""


def copy_edited(source: Path, folder: Path, edit: Edit) -> dict[str, int]:
    """Copy the data set `source` into `folder`.

    Returns:
        Rows written, by split.

    Raises:
        MxqvaeError: The source is missing or damaged.
    """
    (folder / "data").mkdir()
    counts = {}
    for split, paths in find_shards(source).items():
        counts[split] = sum(_copy_shard(source, path, folder, edit) for path in paths)
    if (tokenizer := source / TOKENIZER_FILE).is_file():
        shutil.copyfile(tokenizer, folder / TOKENIZER_FILE)
    return counts


def _copy_shard(source: Path, path: Path, folder: Path, edit: Edit) -> int:
    name = path.relative_to(source)
    first = written = 0
    writer: pq.ParquetWriter | None = None
    try:
        for rows in _row_groups(path):
            edited = edit(name, first, rows)
            writer = writer or pq.ParquetWriter(folder / name, edited.schema)
            writer.write_table(edited)
            first, written = first + len(rows), written + len(edited)
    finally:
        if writer is not None:
            writer.close()
    return written


def _row_groups(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            if not file.num_row_groups:
                yield file.schema_arrow.empty_table()  # a shard without rows has its file, too
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None
