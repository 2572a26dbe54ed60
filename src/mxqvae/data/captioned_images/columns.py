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
)
"""Names looked for, in this order."""
CAPTION_COLUMNS = (
    *("captions", "caption", "texts", "text", "sentences", "sentence", "raw"),
    *("descriptions", "description", "prompt", "alt_text", "title"),
)
"""Names looked for, in this order; after them `caption_0`, `caption_1` and so on, all together."""
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
    return Columns(
        image=_asked(names, asked.image, "image", table) or _known(names, IMAGE_COLUMNS, "image", table),
        captions=find_caption_columns(names, asked, table),
        group=_asked(names, asked.group, "group", table),
        split=_asked(names, asked.split, "split", table),
    )


def find_caption_columns(names: Sequence[str], asked: AskedColumns, table: str) -> tuple[str, ...]:
    """As `find_columns`, the captions alone."""
    caption = _asked(names, asked.caption, "caption", table)
    if caption:
        return (caption,)
    numbered = tuple(sorted((name for name in names if _NUMBERED.fullmatch(name)), key=_natural))
    if numbered and not set(names).intersection(CAPTION_COLUMNS):
        return numbered
    return (_known(names, CAPTION_COLUMNS, "caption", table),)


def _asked(names: Sequence[str], name: str | None, role: str, table: str) -> str | None:
    if name is not None and name not in names:
        raise MxqvaeError(f"{table}: no column {name!r}; choose --{role}-column from {', '.join(names)}")
    return name


def _known(names: Sequence[str], known: Sequence[str], role: str, table: str) -> str:
    for name in known:
        if name in names:
            return name
    raise MxqvaeError(
        f"{table}: no {role} column found among {', '.join(names)}; name it with --{role}-column"
    )


def _natural(name: str) -> tuple[int, str]:
    return int(re.findall(r"\d+", name)[-1]), name
