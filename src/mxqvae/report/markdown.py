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


def ours_label(seed: int, num_seeds: int) -> str:
    """What stands beside our figures; the seed where a row was run with several."""
    return "**ours**" if num_seeds == 1 else f"**ours**, seed {seed}"


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
    thousandths = round(1000 * ours) - round(1000 * poster)
    if thousandths < 0:
        return f"−{-thousandths / 1000:.3f} miss"
    return f"+{thousandths / 1000:.3f}"
