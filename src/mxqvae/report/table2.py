"""Table 2, semantic consistency: the poster's rows, ours below, and what the poster lacks."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from mxqvae.data.caption_grammar import KINDS
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.evaluation.memorization import MemorizationScore, Reference
from mxqvae.report.markdown import (
    ABSENT,
    OUR_ROW,
    Lines,
    difference_cell,
    ours_label,
    render_table,
    row_label,
    share_cell,
    signed_cell,
    whose_label,
)
from mxqvae.reproduction.rows import TABLE2_EXTRA_ROWS
from mxqvae.results import Table2Figures, Table2Result

POSTER: dict[str, tuple[float, ...]] = {
    "I&T": (0.979, 0.926, 0.675, 0.434, 0.255, 0.654),
    "T&I": (0.803, 0.780, 0.458, 0.282, 0.161, 0.497),
    "I_T_Emb": (0.953, 0.953, 0.956, 0.958, 0.849, 0.945),
    "T_Emb_I": (0.086, 0.895, 0.913, 0.916, 0.828, 0.728),
    OUR_ROW: (0.998, 0.997, 0.994, 0.996, 0.974, 0.992),
}
"""Row → semantic consistency by kind, then the average as printed (poster of BMVC 2022, Table 2).

Of all pairs together, kinds not told apart, the poster says nothing.
"""
ROWS = (*POSTER, *(row.label for row in TABLE2_EXTRA_ROWS.values()))
"""The poster's rows, then those of ours that the paper does not have."""
HEADER = ("Model", "", *KINDS, "Average", "Per pair")
FOOTNOTE = "¹ As printed on the poster; the mean of the row's own cells is 0.934."
FOOTNOTE_ROW = "I_T_Emb"

LinesOfOurs = Callable[[Table2Result, str, str, Sequence[float] | None], Iterator[tuple[str, ...]]]
"""Makes the lines of a run from the row's name, what stands beside our figures, and the poster's."""

MEASURES_HEADER = (
    "Model",
    "Captions that parse",
    "Kinds' shares, largest gap",
    "Distinct configurations",
    "Digits' distance from uniform (real)",
    "Colours' distance from uniform (real)",
    "Codes a pair",
    "Bits a test pair: image + caption",
    "Test captions that stage 1 restores word for word",
    "Test pairs that agree after stage 1",
    "Nearer to training than 95% of test images",
    "than 95% of reconstructed ones",
)


def table2_lines(results: Sequence[Table2Result]) -> Lines:
    """The lines of Table 2 under `HEADER`."""
    return _below_the_poster(results, _lines_of_ours)


def render_table2(results: Sequence[Table2Result]) -> str:
    """Table 2 in Markdown."""
    return f"{render_table(HEADER, table2_lines(results))}\n\n{_footnotes(results)}"


def render_summary(results: Sequence[Table2Result]) -> str:
    """Table 2 in short, in Markdown: of each row the poster's figures and ours by kind, and our bounds."""
    lines = _below_the_poster(results, _short_lines_of_ours)
    return f"{render_table(HEADER[:-1], [line[:-1] for line in lines])}\n\n{_footnotes(results)}"


def judge_line(results: Sequence[Table2Result]) -> str:
    """How far the judge of the runs, at least one, is to be trusted."""
    accuracies = dict.fromkeys(f"{result.figures.judge_accuracy:.2%}" for result in results)
    return f"The judge names {' and '.join(accuracies)} of real test digits right."


def _footnotes(results: Sequence[Table2Result]) -> str:
    return f"{FOOTNOTE} {judge_line(results)}" if results else FOOTNOTE


def _below_the_poster(results: Sequence[Table2Result], lines_of_ours: LinesOfOurs) -> Lines:
    """Each row of the poster, below it the lines of our runs of it, and ceiling and floor in the end."""
    lines: Lines = []
    for row in ROWS:
        poster, name = POSTER.get(row), row_label(row)
        if poster is not None:
            cells = [f"{share:.3f}" for share in poster]
            if row == FOOTNOTE_ROW:
                cells[-1] += " ¹"
            lines.append((name, "poster", *cells, ABSENT))
            name = ""
        runs = [result for result in results if result.row == row]
        for run in runs:
            lines += lines_of_ours(run, name, ours_label(row, run.seed, len(runs)), poster)
    return lines + list(_lines_of_bounds([result.figures for result in results]))


def measures_lines(results: Sequence[Table2Result]) -> Lines:
    """What the poster does not tell of its rows, under `MEASURES_HEADER`."""
    return [_measures(run) for row in ROWS for run in results if run.row == row]


def render_measures(results: Sequence[Table2Result]) -> str:
    """What the poster does not tell of its rows, in Markdown."""
    return render_table(MEASURES_HEADER, measures_lines(results))


def pair_shares(score: ConsistencyScore) -> list[float | None]:
    """Share of consistent pairs by kind, then the average."""
    by_kind = [score.kinds[kind].consistent for kind in KINDS]
    return [*(None if proportion is None else proportion.rate for proportion in by_kind), score.average]


def later_step(figures: Table2Figures) -> str:
    """What ours does to the codes as drawn and the paper does not, as it ends a label; empty: nothing."""
    if figures.samples != figures.samples_refined:
        return ", with redraws"
    return "" if figures.samples == figures.samples_as_drawn else ", refined"


def _lines_of_ours(
    run: Table2Result, name: str, label: str, poster: Sequence[float] | None
) -> Iterator[tuple[str, ...]]:
    figures, whose = run.figures, whose_label(run.row)
    drawn = figures.samples_as_drawn
    step = later_step(figures)
    yield (name, f"{label}{step}", *(f"**{cell}**" for cell in _cells(figures.samples)))
    if poster is not None:
        yield ("", f"difference{step}", *_differences(run.row, figures.samples, poster), ABSENT)
    if figures.samples_refined not in (figures.samples, drawn):
        yield ("", f"{whose}, first draws", *_cells(figures.samples_refined))
    if step:
        yield ("", f"{whose}, codes as drawn", *_cells(drawn))
        if poster is not None:
            yield ("", "difference, codes as drawn", *_differences(run.row, drawn, poster), ABSENT)
    yield ("", f"{whose}, slot by slot", *map(share_cell, _slot_shares(figures.samples)))
    mix = [figures.samples.kinds[kind] for kind in KINDS]
    shares_of_kinds = (f"{kind.share:.1%} ({kind.training_share:.1%})" for kind in mix)
    yield ("", "share of samples (of training)", *shares_of_kinds, "", "")


def _short_lines_of_ours(
    run: Table2Result, name: str, label: str, poster: Sequence[float] | None
) -> Iterator[tuple[str, ...]]:
    figures, step = run.figures, later_step(run.figures)
    if step:
        yield (name, f"{label}, codes as drawn", *_cells(figures.samples_as_drawn))
        name = ""
    yield (name, f"{label}{step}", *_cells(figures.samples))


def _lines_of_bounds(all_figures: Sequence[Table2Figures]) -> Iterator[tuple[str, ...]]:
    """Ceiling and floor, once for all rows that were scored against the same ones."""
    bounds = dict.fromkeys((_cells(figures.ceiling), _cells(figures.floor)) for figures in all_figures)
    for ceiling, floor in bounds:
        yield ("Real test pairs", "ceiling", *ceiling)
        yield ("Test pairs, captions shuffled", "floor", *floor)


def _measures(run: Table2Result) -> tuple[str, ...]:
    figures = run.figures
    samples, real, bits = figures.diversity.samples, figures.diversity.real, figures.likelihood
    # Kinds differ in how many configurations they have, and the smaller ones are drawn out: real captions of
    # another mix name another number of them.
    expected = sum(kind.expected_distinct for kind in samples.kinds.values())
    blurred = figures.memorization.reconstructed
    drawn, step = figures.samples_as_drawn, later_step(figures)
    parsed, gap = (
        f"{figures.samples.parsed.rate:.2%}",
        f"{100 * figures.samples.largest_share_gap:.1f} points",
    )
    if step:
        parsed += f"; {drawn.parsed.rate:.2%} as drawn"
        gap += f"; {100 * drawn.largest_share_gap:.1f} as drawn"
    return (
        row_label(run.row) + step,
        parsed,
        gap,
        f"{samples.distinct:,} of {expected:,.0f} expected at its mix",
        f"{share_cell(samples.digit_distance)} ({share_cell(real.digit_distance)})",
        f"{share_cell(samples.colour_distance)} ({share_cell(real.colour_distance)})",
        str(bits.all_codes.num_codes),
        f"{bits.all_codes.per_pair:.1f}: {bits.image_codes.per_pair:.1f} + {bits.text_codes.per_pair:.1f}",
        share_cell(figures.restored_captions),
        share_cell(figures.reconstructed.consistent.rate),
        _nearer_cell(figures.memorization),
        ABSENT if blurred is None else _nearer_cell(blurred),
    )


def _nearer_cell(reference: MemorizationScore | Reference) -> str:
    of_kind = reference.nearer_than_p05_of_kind
    by_kind = "" if of_kind is None else f"; kind by kind {of_kind:.1%}"
    return f"{reference.nearer_than_p05:.1%}{by_kind}"


def _cells(score: ConsistencyScore) -> tuple[str, ...]:
    return tuple(map(share_cell, [*pair_shares(score), score.consistent.rate]))


def _differences(row: str, score: ConsistencyScore, poster: Sequence[float]) -> Iterator[str]:
    """Of our own row a shortfall is a miss; a baseline is as good as it is."""
    cell = difference_cell if row == OUR_ROW else signed_cell
    return (cell(*both) for both in zip(pair_shares(score), poster, strict=True))


def _slot_shares(score: ConsistencyScore) -> list[float | None]:
    by_kind = [score.kinds[kind].slots for kind in KINDS]
    shares = [rates.slot for rates in by_kind if rates is not None]
    average = fmean(shares) if len(shares) == len(KINDS) else None
    return [*(None if rates is None else rates.slot for rates in by_kind), average, score.slots.slot]
