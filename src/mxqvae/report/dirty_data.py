"""Training captions that lie: what they cost stage 1, and what an audit of them wins back."""

from collections.abc import Sequence
from statistics import fmean

from mxqvae.evaluation.correlation import POSTER_KIND
from mxqvae.report.markdown import ABSENT, Lines, mean_cell, render_table
from mxqvae.reproduction.dirty_data import ROWS as RUNNABLE_ROWS
from mxqvae.results import DirtyDataResult

ROWS = tuple(row.label for row in RUNNABLE_ROWS.values())
"""From clean captions on."""
HEADER = (
    "Training captions",
    "Pairs",
    "That lie",
    "Taken for lies: precision",
    "recall",
    "Quad4: words repeated at degree 4",
    "degree 0",
    "Distance from the ideal",
    "Quad4, audit: ROC AUC",
    "slot corrected",
    "words hidden: ROC AUC",
    "slot corrected",
)
NOT_MEASURED = "not measured: see `mxqvae reproduce dirty-data`"


def dirty_data_lines(results: Sequence[DirtyDataResult]) -> Lines:
    """The lines under `HEADER`, in the order of `ROWS`; of several seeds the means and deviations."""
    if not results:
        return [(NOT_MEASURED, *[ABSENT] * (len(HEADER) - 1))]
    by_row = {row: [run for run in results if run.row == row] for row in ROWS}
    return [_cells(row, runs) for row, runs in by_row.items() if runs]


def render_dirty_data(results: Sequence[DirtyDataResult]) -> str:
    """The table in Markdown."""
    return render_table(HEADER, dirty_data_lines(results))


def _cells(row: str, runs: Sequence[DirtyDataResult]) -> tuple[str, ...]:
    pairs = round(fmean(sum(run.figures.num_pairs.values()) for run in runs))
    lying = fmean(sum(run.figures.num_lying.values()) for run in runs)
    return (
        row if len(runs) == 1 else f"{row}, {len(runs)} seeds",
        f"{pairs:,}",
        f"{lying / pairs:.1%}",
        *(_mean(shares) for shares in zip(*map(_shares, runs), strict=True)),
    )


def _shares(run: DirtyDataResult) -> tuple[float | None, ...]:
    figures = run.figures
    correlation = figures.correlation.kinds[POSTER_KIND]
    audits = [audit.kinds[POSTER_KIND] for audit in (figures.audit, figures.audit_hidden)]
    return (
        figures.precision,
        figures.recall,
        *(correlation.degrees[place].words.mean for place in (0, -1)),
        correlation.word_distance,
        *(share for audit in audits for share in (audit.roc_auc, audit.slot_corrected)),
    )


def _mean(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    return mean_cell(known) if known else ABSENT
