"""Lists of captions beside images: `metadata.jsonl`, `metadata.csv` (`imagefolder`) and files like them."""

import csv
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mxqvae.data.captioned_images.caption_list import CaptionList
from mxqvae.data.captioned_images.columns import (
    AskedColumns,
    find_columns,
    known_caption_columns,
    known_image_column,
)
from mxqvae.data.captioned_images.image_files import ImageFinder, is_image_name, walk_files
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable
from mxqvae.data.captioned_images.splitting import splits_of_shards
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import CONTACT_SHEET_NAME

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "captions.jsonl")
"""What lists are called, in the order in which they are looked for."""
METADATA_SUFFIXES = (".jsonl", ".csv", ".tsv")
KAGGLE_NAME = "captions.txt"
"""How Kaggle's copies of Flickr8k and Flickr30k call their CSV file."""
IMAGE_FOLDERS = ("", "images", "Images")
"""Where the images lie, below the folder of the list."""


class MetadataFiles:
    """Captions in lists, images in files; file names are relative to the list, or to `images`."""

    layout = "captions in a metadata file"

    def __init__(self, paths: Sequence[Path], asked: AskedColumns, images: Path | None = None) -> None:
        self._paths = paths
        self._asked = asked
        self._images = images

    def count(self) -> int:
        return sum(_list(path, self._images).count() for path in self._paths)

    def __iter__(self) -> Iterator[SourcePair]:
        published = splits_of_shards(self._paths)
        named: set[int] = set()  # hashes, which take less memory than names
        for path in self._paths:
            for pair in _list(path, self._images).pairs(self._asked, published.get(path)):
                if isinstance(pair.image, FileRange):
                    named.add(_hash(pair.image.path))
                yield pair
        # Elsewhere lie images for other lists as well.
        folders = () if self._images else dict.fromkeys(path.parent for path in self._paths)
        for folder in folders:
            for path in walk_files(folder):
                # The sheet of a folder that `mxqvae sample` wrote shows pairs and is none.
                is_sheet = path == folder / CONTACT_SHEET_NAME
                if is_image_name(path.name) and not is_sheet and _hash(path) not in named:
                    yield SourcePair(printable(str(path.relative_to(folder))), None, is_named=False)


def names_images(path: Path) -> bool:
    """Whether a list has a column for images, by its name.

    Raises:
        MxqvaeError: Names the line that is damaged.
    """
    names = _list(path, None).column_names()
    column = known_image_column(names)
    # Tables of labels have an "image_name" too.
    return column is not None and (column != "image_name" or bool(known_caption_columns(names)))


def has_header(path: Path, asked: AskedColumns) -> bool:
    """Whether the first line of a text file names the columns of a list."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first_line = file.readline()
    try:
        find_columns(next(csv.reader([first_line]), []), asked, str(path))
    except (MxqvaeError, csv.Error):
        return False
    return True


def _hash(path: str | Path) -> int:
    return hash(os.path.normpath(path))


def _list(path: Path, images: Path | None) -> CaptionList:
    folders = [images] if images else [path.parent / folder for folder in IMAGE_FOLDERS]
    return CaptionList(str(path), partial(path.open, "rb"), ImageFinder(folders).find)
