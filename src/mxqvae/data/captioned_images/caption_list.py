"""A list of captions, in JSON lines or CSV: each line has the file name of an image, and captions.

Such as `{"file_name": "1.jpg", "captions": ["A dog.", "A brown dog."]}`. Lines that follow each other and
name the same image are one image's captions.
"""

import codecs
import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import IO, Any

from mxqvae.data.captioned_images.columns import AskedColumns, Columns, find_columns
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable
from mxqvae.data.captioned_images.splitting import splits_of_names, top_folder
from mxqvae.errors import MxqvaeError


class CaptionList:
    """One list, read from start to end as often as need be.

    Attributes:
        where: Its file name.
    """

    def __init__(
        self, where: str, open_bytes: Callable[[], IO[bytes]], find_image: Callable[[str], FileRange]
    ) -> None:
        """Open a list.

        Args:
            where: File name, for messages; it tells JSON lines (`.jsonl`), tabs (`.tsv`) and CSV (any other).
            open_bytes: Opens the list.
            find_image: Finds the image of a name.
        """
        self.where = where
        self._open_bytes = open_bytes
        self._find_image = find_image
        self._is_jsonl = where.lower().endswith(".jsonl")

    def count(self) -> int:
        """Lines, but for the names of the columns."""
        with self._open_bytes() as file:
            return sum(not line.isspace() for line in file) - (not self._is_jsonl)

    def column_names(self) -> list[str]:
        """Of all lines: any may lack a column, the first one too."""
        return list(dict.fromkeys(name for _, row in self._rows() for name in row))

    def pairs(self, asked: AskedColumns, split: str | None = None) -> Iterator[SourcePair]:
        """The pairs, in the order of the list.

        Args:
            asked: Columns.
            split: The published split of all; by default what the column asked for says, or else the folders
                at the start of the images' names, such as "train/1.png".

        Raises:
            MxqvaeError: Names the line that is damaged, says no such thing, or contradicts the line before of
                the same image, or the column that is missing.
        """
        names = self.column_names()
        if not names:
            return
        columns = find_columns(names, asked, self.where)
        published: dict[str, str] = {}
        if split is None and asked.split is None:
            image_names = (row.get(columns.image) for _, row in self._rows())
            published = splits_of_names(
                {top_folder(name) for name in image_names if name and isinstance(name, str)}
            )

        def image_name(numbered: tuple[int, dict[str, Any]]) -> tuple[str, int]:
            number, row = numbered
            name = row.get(columns.image) or ""
            if not isinstance(name, str):
                raise MxqvaeError(
                    f"{self.where}, line {number}: {columns.image} is no file name; "
                    "name another with --image-column"
                )
            # Captions without an image are pairs of their own.
            return name, 0 if name else number

        for (name, _), lines in groupby(self._rows(), image_name):
            numbered = list(lines)
            first_number, first_row = numbered[0]
            self._check_agreement(numbered, columns)
            captions = (
                caption
                for number, row in numbered
                for caption in columns.captions_of(row, f"{self.where}, line {number}")
            )
            yield SourcePair(
                printable(name) if name else f"{posixpath.basename(self.where)}, line {first_number}",
                self._find_image(name) if name else None,
                tuple(captions),
                group=columns.group_of(first_row),
                split=columns.split_of(first_row, f"{self.where}, line {first_number}")
                or split
                or published.get(top_folder(name)),
            )

    def _check_agreement(self, numbered: Sequence[tuple[int, dict[str, Any]]], columns: Columns) -> None:
        """Refuse lines of one image that put it into two groups or splits; empty cells say nothing."""
        for column in filter(None, (columns.group, columns.split)):
            first = numbered[0][1].get(column)
            said = "" if first is None else str(first)
            for number, row in numbered[1:]:
                if row.get(column) not in (None, "") and str(row[column]) != said:
                    raise MxqvaeError(
                        f"{self.where}, line {number}: {column} is {row[column]!r}, but {said!r} in line "
                        f"{numbered[0][0]} of the same image; make them equal"
                    )

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._open_bytes() as file:
            # Only a line feed ends a line of JSON; the module csv asks for line ends as they are.
            newline = "\n" if self._is_jsonl else ""
            # What Excel calls Unicode text; it begins with either mark of UTF-16.
            is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            file.seek(0)
            encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
            text = io.TextIOWrapper(file, encoding, errors, newline)
            yield from self._json_rows(text) if self._is_jsonl else self._csv_rows(text)

    def _json_rows(self, text: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise MxqvaeError(f"{self.where}, line {number}: not JSON ({error}); fix the line") from None
            if not isinstance(row, dict):
                raise MxqvaeError(f"{self.where}, line {number}: not a JSON object; fix the line")
            yield number, row

    def _csv_rows(self, text: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        header = next(text, "")
        reader = csv.DictReader(chain([header], text), delimiter=max(",;\t|", key=header.count), strict=True)
        beginning = 1  # the line in which a row begins: it holds the quotes that nothing closes
        try:
            # Flickr30k's results.csv has spaces around its separators; those of captions are tidied later.
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            beginning += reader.line_num
            for row in reader:
                beyond: Any = row.pop(None, ())  # pyright: ignore[reportArgumentType] - the key of csv
                if any(cell.strip() for cell in beyond):
                    raise MxqvaeError(
                        f"{self.where}, line {reader.line_num}: more cells than columns; put double quotes "
                        "around captions that hold the separator"
                    )
                beginning = reader.line_num + 1
                yield reader.line_num, row
        except csv.Error as error:
            raise MxqvaeError(
                f"{self.where}, line {beginning}: {error}; fix the line (quotes around a cell end right "
                "before the separator, quotes in it are doubled)"
            ) from None
