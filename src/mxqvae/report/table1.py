"""Table 1, multimodal semantic correlation: the poster's rows and ours."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from mxqvae.evaluation.correlation import POSTER_ROWS, CorrelationScore
from mxqvae.report.markdown import ABSENT, Lines, ours_label, render_table, row_label, share_cell
from mxqvae.results import Table1Result

POSTER = POSTER_ROWS
"""Row → score on Quad4 at degree 4, 3, 2, 1, 0 (poster of BMVC 2022, Table 1)."""
IDEAL = (1.0, 0.75, 0.5, 0.25, 0.0)
"""What a model scores on Quad4 that repeats what the image confirms, and nothing else."""
HEADER = ("Model", "", "Degree 4", "3", "2", "1", "0", "Distance from the ideal")
KINDS_HEADER = ("Model", "Kind", "Degree 4", "3", "2", "1", "0", "Distance from the ideal")


def table1_lines(results: Sequence[Table1Result]) -> Lines:
    """The lines of Table 1 under `HEADER`."""
    lines: Lines = [("Ideal", "", *map(share_cell, IDEAL), share_cell(0.0))]
    for row, poster in POSTER.items():
        distance = fmean(abs(a - b) for a, b in zip(poster, IDEAL, strict=True))
        lines.append((row_label(row), "poster", *map(share_cell, poster), share_cell(distance)))
        runs = [result for result in results if result.row == row]
        for run in runs:
            lines += _lines_of_ours(run, ours_label(run.seed, len(runs)))
    return lines


def render_table1(results: Sequence[Table1Result]) -> str:
    """Table 1 in Markdown."""
    return render_table(HEADER, table1_lines(results))


def render_kinds(results: Sequence[Table1Result]) -> str:
    """All kinds of our rows, per word, in Markdown."""
    lines: Lines = []
    for row in POSTER:
        for run in (result for result in results if result.row == row):
            lines += [
                (row_label(row), f"{kind}, seed {run.seed}", *_word_cells(run.figures, kind))
                for kind in run.figures.kinds
            ]
    return render_table(KINDS_HEADER, lines)


def _lines_of_ours(run: Table1Result, label: str) -> Iterator[tuple[str, ...]]:
    quad4 = run.figures.kinds["Quad4"]
    words = [f"**{share_cell(degree.words.mean)}**" for degree in quad4.degrees]
    slots = [share_cell(degree.slots.mean) for degree in quad4.degrees]
    yield ("", label, *words, f"**{share_cell(quad4.word_distance)}**")
    yield ("", "ours, per slot", *slots, share_cell(quad4.slot_distance))


def _word_cells(score: CorrelationScore, kind: str) -> tuple[str, ...]:
    """Cells under the degrees 4 to 0; a kind with fewer slots has no higher ones."""
    degrees = score.kinds[kind].degrees
    cells = [share_cell(degree.words.mean) for degree in degrees]
    return (
        *[ABSENT] * (len(IDEAL) - len(cells)),
        *cells,
        share_cell(score.kinds[kind].word_distance),
    )
