"""Parquet files with an image and a caption column, as `datasets` writes them, or plain."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.data.captioned_images.columns import AskedColumns, Columns, find_columns, known_image_column
from mxqvae.data.captioned_images.image_files import ImageFinder
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable
from mxqvae.data.captioned_images.splitting import splits_of_shards
from mxqvae.errors import MxqvaeError

BATCH_SIZE = 64
"""Rows in memory at a time, beside the row group that they are part of."""


class ParquetFiles:
    """Images as structs with `bytes` or `path`, as plain bytes, or as file names relative to the file."""

    layout = "parquet files"

    def __init__(self, paths: Sequence[Path], asked: AskedColumns, images: Path | None = None) -> None:
        self._paths = paths
        self._asked = asked
        self._images = images

    def count(self) -> int:
        num_rows = 0
        for path in self._paths:
            with open_parquet(path) as file:
                num_rows += file.metadata.num_rows
        return num_rows

    def __iter__(self) -> Iterator[SourcePair]:
        published = splits_of_shards(self._paths)
        for path in self._paths:
            finder = ImageFinder([self._images or path.parent])
            with open_parquet(path) as file:
                columns = find_columns(file.schema_arrow.names, self._asked, printable(str(path)))
                wanted = dict.fromkeys(filter(None, (columns.image, *columns.captions, *columns[2:])))
                number = 0
                try:
                    for batch in file.iter_batches(BATCH_SIZE, columns=list(wanted)):
                        for row in batch.to_pylist():
                            pair = pair_of_row(row, f"{printable(path.name)}, row {number}", columns, finder)
                            yield pair._replace(split=pair.split or published.get(path))
                            number += 1
                except (pa.ArrowException, OSError) as error:
                    raise _unreadable(path, error) from None


def has_images(path: Path, asked: AskedColumns) -> bool:
    """Whether a file has the column for images that was asked for, or else one that is known.

    Raises:
        MxqvaeError: It is not readable.
    """
    with open_parquet(path) as file:
        names = file.schema_arrow.names
    return known_image_column(names) is not None if asked.image is None else asked.image in names


def pair_of_row(row: dict[str, Any], name: str, columns: Columns, finder: ImageFinder) -> SourcePair:
    """The pair in a row of a table whose image column is not decoded.

    Args:
        name: Of the pair; the image's own file name, where there is one, is put before it.
    """
    cell = row.get(columns.image)
    image: bytes | FileRange | None
    if isinstance(cell, dict):
        path = cell.get("path")
        image = cell.get("bytes") or (finder.find(path) if path else None)
        name = f"{name} ({printable(path)})" if path else name
    elif isinstance(cell, str):
        image = finder.find(cell) if cell else None
        name = f"{name} ({printable(cell)})" if cell else name
    elif cell is None or isinstance(cell, bytes):
        image = cell or None
    else:
        raise MxqvaeError(f"{name}: {columns.image} holds no image; name another with --image-column")
    captions = columns.captions_of(row, name)
    group, split = columns.group_of(row), columns.split_of(row, name)
    return SourcePair(name, image, captions, group=group, split=split)


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file by Python: Arrow takes names in UTF-8 alone.

    Raises:
        MxqvaeError: It is not readable.
    """
    with ExitStack() as stack:
        try:
            file = pq.ParquetFile(stack.enter_context(path.open("rb")))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
        yield file


def _unreadable(path: Path, error: Exception) -> MxqvaeError:
    reason = str(error).partition("\n")[0]
    return MxqvaeError(f"{printable(str(path))}: not a readable parquet file ({reason}); replace it")
