"""Training captions that lie: what they cost stage 1, and what an audit of them wins back."""

from collections.abc import Sequence

from mxqvae.evaluation.correlation import POSTER_KIND
from mxqvae.report.markdown import ABSENT, Lines, render_table, share_cell
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
    "Table 1: degree 4",
    "degree 0",
    "Distance from the ideal",
    "Audit: ROC AUC",
    "slot corrected",
    "Words hidden: ROC AUC",
    "slot corrected",
)
NOT_MEASURED = "not measured: see `mxqvae reproduce dirty-data`"


def dirty_data_lines(results: Sequence[DirtyDataResult]) -> Lines:
    """The lines under `HEADER`, in the order of `ROWS`."""
    if not results:
        return [(NOT_MEASURED, *[ABSENT] * (len(HEADER) - 1))]
    return [_cells(run) for run in sorted(results, key=lambda run: (ROWS.index(run.row), run.seed))]


def render_dirty_data(results: Sequence[DirtyDataResult]) -> str:
    """The table in Markdown."""
    return render_table(HEADER, dirty_data_lines(results))


def _cells(run: DirtyDataResult) -> tuple[str, ...]:
    figures = run.figures
    correlation = figures.correlation.kinds[POSTER_KIND]
    audits = [audit.kinds[POSTER_KIND] for audit in (figures.audit, figures.audit_hidden)]
    return (
        run.row,
        f"{figures.num_pairs:,}",
        f"{figures.num_lying / figures.num_pairs:.1%}",
        *map(share_cell, (figures.precision, figures.recall)),
        *(share_cell(correlation.degrees[place].words.mean) for place in (0, -1)),
        share_cell(correlation.word_distance),
        *(f"{share:.4f}" for audit in audits for share in (audit.roc_auc, audit.slot_corrected)),
    )
