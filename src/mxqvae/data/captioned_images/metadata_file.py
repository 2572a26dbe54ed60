"""A list of captions beside images: `metadata.jsonl`, `metadata.csv` (`imagefolder`) and files like them.

A line has a file name and captions: `{"file_name": "1.jpg", "captions": ["A dog.", "A brown dog."]}`. Lines
that follow each other and name the same image are one image's captions.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mxqvae.data.captioned_images.columns import AskedColumns, find_columns
from mxqvae.data.captioned_images.image_files import ImageFinder
from mxqvae.data.captioned_images.source import SourcePair, printable
from mxqvae.errors import MxqvaeError

METADATA_SUFFIXES = (".jsonl", ".csv", ".tsv")


class MetadataFiles:
    """Captions in JSON lines or CSV, images in files; file names are relative to the list, or to `images`."""

    layout = "captions in a metadata file"

    def __init__(self, paths: Sequence[Path], asked: AskedColumns, images: Path | None = None) -> None:
        self._paths = paths
        self._asked = asked
        self._images = images

    def count(self) -> int:
        return sum(_count_lines(path) for path in self._paths)

    def __iter__(self) -> Iterator[SourcePair]:
        for path in self._paths:
            finder = ImageFinder([self._images or path.parent])
            yield from _pairs(path, self._asked, finder)


def _pairs(path: Path, asked: AskedColumns, finder: ImageFinder) -> Iterator[SourcePair]:
    # Any line may lack a column, the first one too.
    names = dict.fromkeys(name for _, row in _rows(path) for name in row)
    if not names:
        return
    columns = find_columns(list(names), asked, str(path))

    def image_name(numbered: tuple[int, dict[str, Any]]) -> tuple[str, int]:
        number, row = numbered
        name = row.get(columns.image) or ""
        if not isinstance(name, str):
            raise MxqvaeError(
                f"{path}, line {number}: {columns.image} is no file name; name another with --image-column"
            )
        # Captions without an image are pairs of their own.
        return name, 0 if name else number

    for (name, _), lines in groupby(_rows(path), image_name):
        numbered = list(lines)
        where = f"{path.name}, line {numbered[0][0]}"
        captions = (
            caption
            for number, row in numbered
            for caption in columns.captions_of(row, f"{path}, line {number}")
        )
        yield SourcePair(
            printable(name) if name else where,
            finder.find(name) if name else None,
            tuple(captions),
            group=columns.group_of(numbered[0][1]),
            split=columns.split_of(numbered[0][1], f"{path}, line {numbered[0][0]}"),
        )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    return _json_rows(path) if path.suffix.lower() == ".jsonl" else _csv_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise MxqvaeError(f"{path}, line {number}: not JSON ({error}); mend the line") from None
            if not isinstance(row, dict):
                raise MxqvaeError(f"{path}, line {number}: not a JSON object; mend the line")
            yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            for row in reader:
                row.pop(None, None)  # what stands beyond the last column
                yield reader.line_num, row
        except csv.Error as error:
            raise MxqvaeError(f"{path}, line {reader.line_num}: {error}; mend the line") from None


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(not line.isspace() for line in file) - (path.suffix.lower() != ".jsonl")
