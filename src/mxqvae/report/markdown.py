"""Cells and tables in Markdown."""

from collections.abc import Sequence
from statistics import fmean, stdev

OUR_ROW = "MXQ-VAE"
"""The label of the paper's own model in its tables."""
ABSENT = "–"

Lines = list[tuple[str, ...]]
"""Lines of a table, a tuple of cells each."""


def render_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def row_label(row: str) -> str:
    """A row's name as Markdown, the paper's own model in bold."""
    return f"**{row}**" if row == OUR_ROW else row.replace("_", r"\_")


def ours_label(row: str, seed: int, num_seeds: int) -> str:
    """What stands beside our figures of a row; the seed where it was run with several."""
    whose = whose_label(row)
    return f"**{whose}**" if num_seeds == 1 else f"**{whose}**, seed {seed}"


def whose_label(row: str) -> str:
    """Of the paper's other rows there is no code, and not enough words to be sure of them."""
    return "ours" if row.startswith(OUR_ROW) else "our reconstruction"


def share_cell(share: float | None) -> str:
    """A share in [0, 1]."""
    return ABSENT if share is None else f"{share:.3f}"


def mean_cell(shares: Sequence[float]) -> str:
    """A share in [0, 1]; of several seeds the mean, with the standard deviation of one."""
    mean = share_cell(fmean(shares))
    return mean if len(shares) == 1 else f"{mean} ± {stdev(shares):.3f}"


def difference_cell(ours: float | None, poster: float) -> str:
    """The difference of the figures as printed, so that a reader can check it; a shortfall is a miss."""
    if ours is None:
        return "miss"
    cell = signed_cell(ours, poster)
    return f"{cell} miss" if cell.startswith("−") else cell


def signed_cell(ours: float | None, poster: float) -> str:
    """The same of rows that are no better for being higher."""
    if ours is None:
        return ABSENT
    thousandths = round(1000 * ours) - round(1000 * poster)
    return f"{'−' if thousandths < 0 else '+'}{abs(thousandths) / 1000:.3f}"
