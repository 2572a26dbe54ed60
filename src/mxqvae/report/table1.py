"""Table 1, multimodal semantic correlation: the poster's rows, ours below, and how far apart they are.

A row that was run with several seeds has one line, of means and standard deviations.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean

from mxqvae.data.degree import DEGREE_KINDS
from mxqvae.evaluation.correlation import (
    POSTER_KIND,
    POSTER_ROWS,
    POSTER_ROWS_OF_PHOTOS,
    KindCorrelation,
    mean_distance,
)
from mxqvae.report.markdown import ABSENT, Lines, mean_cell, render_table, row_label, share_cell
from mxqvae.report.table3 import NOT_MEASURED
from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS
from mxqvae.results import Table1Result

POSTER = POSTER_ROWS
"""Row → score on Quad4 at degree 4, 3, 2, 1, 0 (poster of BMVC 2022, Table 1)."""
POSTER_OF_PHOTOS = {
    "Flower": POSTER_ROWS_OF_PHOTOS["Oxford Flower-102 and Reed et al.'s captions"],
    "CUB": POSTER_ROWS_OF_PHOTOS["CUB-200-2011 and Reed et al.'s captions"],
}
"""The same by photo set, as Table 3 names them."""
ROWS = (*POSTER, *(row.label for row in TABLE1_EXTRA_ROWS.values()))
"""The poster's rows, then those of ours that the paper does not have."""
IDEAL = (1.0, 0.75, 0.5, 0.25, 0.0)
"""What a model scores on Quad4 that repeats what the image confirms, and nothing else."""
DIFFERENCE = "difference"
PER_SLOT = "ours, per slot"
DEGREES = ("Degree 4", "3", "2", "1", "0", "Distance from the ideal")
HEADER = ("Model", "", *DEGREES)
KINDS_HEADER = ("Model", "Kind", *DEGREES)
PHOTOS_HEADER = ("Set", "Model", "", *DEGREES)


def table1_lines(results: Sequence[Table1Result]) -> Lines:
    """The lines of Table 1 under `HEADER`."""
    lines: Lines = [("Ideal", "", *map(share_cell, _with_distance(IDEAL)))]
    for row in ROWS:
        poster = POSTER.get(row)
        name = row_label(row)
        if poster is not None:
            lines.append((name, "poster", *map(share_cell, _with_distance(poster))))
            name = ""
        for runs, seeds in _runs_of(results, row):
            lines += _lines_of_ours(runs, name, f"**ours**{seeds}", poster)
    return lines


def render_table1(results: Sequence[Table1Result]) -> str:
    """Table 1 in Markdown."""
    return render_table(HEADER, table1_lines(results))


def render_summary(results: Sequence[Table1Result]) -> str:
    """Table 1 in short, in Markdown: of each row the poster's figures and ours per word."""
    return render_table(
        HEADER, [line for line in table1_lines(results) if line[1] not in (DIFFERENCE, PER_SLOT)]
    )


def render_kinds(results: Sequence[Table1Result]) -> str:
    """All kinds of our rows, per word, in Markdown."""
    lines: Lines = []
    for row in ROWS:
        for runs, seeds in _runs_of(results, row):
            lines += [
                (row_label(row), f"{kind}{seeds}", *_cells([_words(run.figures.kinds[kind]) for run in runs]))
                for kind in runs[0].figures.kinds
            ]
    return render_table(KINDS_HEADER, lines)


def photos_lines(results: Sequence[Table1Result]) -> Lines:
    """The lines of Table 1 on photos under `PHOTOS_HEADER`: the poster's sets, then ours by name.

    A slot of theirs is one word, a colour. Few captions have four, so the kinds with fewer stand below Quad4.
    """
    lines: Lines = []
    for data_set in [*POSTER_OF_PHOTOS, *sorted({run.data_set for run in results} - POSTER_OF_PHOTOS.keys())]:
        name, of_set = row_label(data_set), [run for run in results if run.data_set == data_set]
        for row in POSTER:
            poster = POSTER_OF_PHOTOS.get(data_set, {}).get(row)
            if poster is not None:
                lines.append((name, row_label(row), "poster", *map(share_cell, _with_distance(poster))))
            for runs, seeds in _runs_of(of_set, row):
                lines += [(name, row_label(row), *line) for line in _lines_of_photos(runs, seeds, poster)]
        if not of_set:
            lines.append((name, "", NOT_MEASURED[data_set], *[ABSENT] * len(DEGREES)))
    return lines


def render_photos(results: Sequence[Table1Result]) -> str:
    """Table 1 on photos in Markdown."""
    return render_table(PHOTOS_HEADER, photos_lines(results))


def _runs_of(results: Sequence[Table1Result], row: str) -> Iterator[tuple[list[Table1Result], str]]:
    """The runs of a row that differ in their seeds alone, and what tells them from others of the row."""
    runs = [result for result in results if result.row == row]
    recipes = dict.fromkeys(run.recipe for run in runs)
    for recipe in recipes:
        seeds = [run for run in runs if run.recipe == recipe]
        label = f", `{recipe}`" if len(recipes) > 1 else ""
        yield seeds, label + (f", {len(seeds)} seeds" if len(seeds) > 1 else "")


def _lines_of_ours(
    runs: Sequence[Table1Result], name: str, label: str, poster: Sequence[float] | None
) -> Iterator[tuple[str, ...]]:
    quad4 = [run.figures.kinds[POSTER_KIND] for run in runs]
    words = [_words(kind) for kind in quad4]
    yield (name, label, *(f"**{cell}**" for cell in _cells(words)))
    if poster is not None:
        yield ("", DIFFERENCE, *_differences(words, poster))
    yield ("", PER_SLOT, *_cells([_slots(kind) for kind in quad4]))


def _lines_of_photos(
    runs: Sequence[Table1Result], seeds: str, poster: Sequence[float] | None
) -> Iterator[tuple[str, ...]]:
    for kind in reversed(DEGREE_KINDS):
        scores = [run.figures.kinds[kind] for run in runs if kind in run.figures.kinds]
        if not scores:
            continue
        words = [_words(score) for score in scores]
        num_pairs = scores[0].degrees[0].num_pairs
        yield (f"**ours**{seeds}, {kind}, {num_pairs:,} pairs", *_cells(words))
        if kind == POSTER_KIND and poster is not None:
            yield (DIFFERENCE, *_differences(words, poster))


def _with_distance(shares: Sequence[float]) -> list[float]:
    """Scores on Quad4 and, as the last cell of a line, their distance from the ideal."""
    return [*shares, mean_distance(shares, IDEAL)]


def _words(kind: KindCorrelation) -> list[float]:
    """The score per word at each degree, then the distance."""
    return [*(degree.words.mean for degree in kind.degrees), kind.word_distance]


def _slots(kind: KindCorrelation) -> list[float]:
    """The same per slot."""
    return [*(degree.slots.mean for degree in kind.degrees), kind.slot_distance]


def _cells(seeds: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """Cells under `DEGREES` of a line for each seed; a kind with fewer slots has no higher degrees."""
    cells = [mean_cell(column) for column in zip(*seeds, strict=True)]
    return (*[ABSENT] * (len(DEGREES) - len(cells)), *cells)


def _differences(seeds: Sequence[Sequence[float]], poster: Sequence[float]) -> Iterator[str]:
    """Ours minus the poster's, of the figures as printed; a miss is farther from the ideal."""
    ours = [fmean(column) for column in zip(*seeds, strict=True)]
    for cells in zip(ours, _with_distance(poster), _with_distance(IDEAL), strict=True):
        own, theirs, ideal = (round(1000 * cell) for cell in cells)
        miss = " miss" if abs(own - ideal) > abs(theirs - ideal) else ""
        yield f"{'−' if own < theirs else '+'}{abs(own - theirs) / 1000:.3f}{miss}"
