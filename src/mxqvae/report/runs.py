"""What each result was run with, and what it cost."""

import re
from collections.abc import Sequence

from mxqvae.progress import format_duration
from mxqvae.report.markdown import ABSENT, render_table, row_label
from mxqvae.results import Result

HEADER = (
    "Table",
    "Row",
    "Recipe",
    "Seed",
    "Stage 1",
    "Stage 2",
    "Judge",
    "Sampling",
    "Scoring",
    "Machine",
    "Commit",
    "Date",
)


def render_runs(results: Sequence[Result]) -> str:
    """All runs, in Markdown."""
    return render_table(HEADER, [_cells(result) for result in results])


def _cells(result: Result) -> tuple[str, ...]:
    cost = result.cost
    seconds = (cost.autoencoder, cost.prior, cost.judge, cost.sampling, cost.scoring)
    return (
        result.table.removeprefix("table"),
        row_label(result.row),
        f"`{result.recipe}`",
        str(result.seed),
        *(format_duration(took) if took else ABSENT for took in seconds),
        f"{result.hardware}, torch {result.versions.get('torch', 'unknown')}",
        re.sub(r"([0-9a-f]{10})[0-9a-f]{30}", r"`\1`", result.commit),
        result.date.isoformat(),
    )
