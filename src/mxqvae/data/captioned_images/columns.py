"""Which columns of a table hold the image, the captions and the group."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mxqvae.data.captioned_images.captions import captions_in_cell
from mxqvae.data.captioned_images.splitting import published_split
from mxqvae.errors import MxqvaeError

IMAGE_COLUMNS = (
    "image",
    "file_name",
    "file",
    "filename",
    "image_path",
    "file_path",
    "filepath",
    "path",
    "img",
    "image_name",
)
"""Names looked for, in this order."""
CAPTION_COLUMNS = (
    *("captions", "caption", "texts", "text", "sentences", "sentence", "raw"),
    *("descriptions", "description", "prompt", "alt_text", "title"),
)
"""Names looked for, in this order; after them `caption_0`, `caption_1` and so on, then `comment`."""
_NUMBERED = re.compile(r"(caption|text|sentence|comment)s?_?\d+")


class AskedColumns(NamedTuple):
    """Column names that the user gave; None where they are to be found, or for no group and no split."""

    image: str | None = None
    caption: str | None = None
    group: str | None = None
    split: str | None = None


class Columns(NamedTuple):
    """Column names of a table."""

    image: str
    captions: tuple[str, ...]
    group: str | None
    split: str | None = None

    def captions_of(self, row: Mapping[str, Any], name: str) -> tuple[str, ...]:
        """The captions of a row; `name` is the pair's, for an error.

        Raises:
            MxqvaeError: A cell holds no text.
        """
        return tuple(
            caption
            for column in self.captions
            for caption in captions_in_cell(row.get(column), f"{name}, column {column}")
        )

    def group_of(self, row: Mapping[str, Any]) -> str | None:
        """The group of a row, as text; None where the cell is empty."""
        value = None if self.group is None else row.get(self.group)
        return None if value in (None, "") else str(value)

    def split_of(self, row: Mapping[str, Any], name: str) -> str | None:
        """The published split of a row; None where no column was asked for.

        Raises:
            MxqvaeError: The cell is empty or names no split.
        """
        if self.split is None:
            return None
        return published_split(str(row.get(self.split) or ""), f"{name}, column {self.split}")


def find_columns(names: Sequence[str], asked: AskedColumns, table: str) -> Columns:
    """Find the columns by their names.

    Args:
        names: All columns.
        table: What is looked at, for an error.

    Raises:
        MxqvaeError: Lists the columns where one that was asked for is missing, or none has a known name.
    """
    image = asked_column(names, asked.image, "image", table) or known_image_column(names)
    if image is None:
        raise _none_found(names, "image", table)
    return Columns(
        image=image,
        captions=find_caption_columns(names, asked, table),
        group=asked_column(names, asked.group, "group", table),
        split=asked_column(names, asked.split, "split", table),
    )


def known_image_column(names: Sequence[str]) -> str | None:
    """The column that holds images or their file names, by its name; None where no name is known."""
    spelled = _spelled(names)
    return next((spelled[name] for name in IMAGE_COLUMNS if name in spelled), None)


def find_caption_columns(names: Sequence[str], asked: AskedColumns, table: str) -> tuple[str, ...]:
    """As `find_columns`, the captions alone."""
    caption = asked_column(names, asked.caption, "caption", table)
    if caption:
        return (caption,)
    known = known_caption_columns(names)
    if not known:
        raise _none_found(names, "caption", table)
    return known


def known_caption_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that hold captions by their names; none where no name is known."""
    spelled = _spelled(names)
    for name in CAPTION_COLUMNS:
        if name in spelled:
            return (spelled[name],)
    numbered = tuple(sorted((name for name in names if _NUMBERED.fullmatch(name)), key=_natural))
    # Flickr30k's column. Last: other tables keep remarks in one of that name.
    return numbered or tuple(name for name in names if name == "comment")


def _spelled(names: Sequence[str]) -> dict[str, str]:
    """As the table spells them, by their names in small letters; such names themselves go first."""
    return {name.lower(): name for name in names} | {name: name for name in names}


def asked_column(names: Sequence[str], name: str | None, role: str, table: str) -> str | None:
    """The column that was asked for, None where none was.

    Raises:
        MxqvaeError: There is no such column; lists those that there are.
    """
    if name is not None and not names:
        raise MxqvaeError(f"{table}: no columns in it; leave out --{role}-column {name}")
    if name is not None and name not in names:
        raise MxqvaeError(f"{table}: no column {name!r}; choose --{role}-column from {', '.join(names)}")
    return name


def _none_found(names: Sequence[str], role: str, table: str) -> MxqvaeError:
    return MxqvaeError(
        f"{table}: no {role} column found among {', '.join(names)}; name it with --{role}-column (a .csv or "
        ".tsv names its columns in the first line, in UTF-8)"
    )


def _natural(name: str) -> tuple[int, str]:
    return int(re.findall(r"\d+", name)[-1]), name
