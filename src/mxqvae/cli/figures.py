"""What a measuring command gives out: a table for people, the same figures as JSON for machines."""

import json as json_format
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from mxqvae.report.markdown import Lines

WIDTH_OF_FILES = 240


def give_out(
    figures: Mapping[str, Any], print_table: Callable[[], None], *, out: Path | None, json: bool
) -> None:
    """Write all figures to the file `out`, where there is one, and print them as JSON or by `print_table`."""
    from mxqvae.output_file import new_output_file

    text = json_format.dumps(figures, indent=2, allow_nan=False)
    if out is not None:
        with new_output_file(out) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    if json:
        print(text)
    else:
        print_table()


def new_table(title: str, first: str, *others: str) -> "Table":
    """An empty table: names in the column `first`, figures in the others."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for header in others:
        table.add_column(header, justify="right")
    return table


def print_with(table: "Table", remarks: Sequence[str]) -> None:
    """Print a table, and lines of text under it."""
    from rich.console import Console

    Console(highlight=False).print(table)
    for remark in remarks:
        print(remark)


def print_lines(title: str, header: Sequence[str], lines: "Lines") -> None:
    """Print lines made for Markdown as a table, its first two columns names."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, cell in enumerate(map(_without_markdown, header)):
        table.add_column(cell, justify="left" if number < 2 else "right", overflow="fold")
    for line in lines:
        table.add_row(*map(_without_markdown, line))
    # A file has room for the widest table, where rich would fold it as for a narrow terminal.
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES).print(table)


def _without_markdown(cell: str) -> str:
    return cell.replace("**", "").replace("\\", "")
