"""What a measuring command gives out: a table for people, the same figures as JSON for machines."""

import json as json_format
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


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
