"""Tables of the README from result files, the paper's figures beside ours.

The README marks where each generated block goes; nobody types what stands between the marks:

    <!-- table2:begin -->
    ...
    <!-- table2:end -->
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mxqvae.data.caption_grammar import KINDS
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import CONFIDENCE_Z, ConsistencyScore
from mxqvae.output_file import new_output_file
from mxqvae.progress import format_duration
from mxqvae.results import Cost, Result, Table2Figures, read_results

OUR_ROW = "MXQ-VAE"
"""The label of the paper's own model in its tables."""

POSTER_TABLE_2: dict[str, tuple[float, ...]] = {
    "I&T": (0.979, 0.926, 0.675, 0.434, 0.255, 0.654),
    "T&I": (0.803, 0.780, 0.458, 0.282, 0.161, 0.497),
    "I_T_Emb": (0.953, 0.953, 0.956, 0.958, 0.849, 0.945),
    "T_Emb_I": (0.086, 0.895, 0.913, 0.916, 0.828, 0.728),
    OUR_ROW: (0.998, 0.997, 0.994, 0.996, 0.974, 0.992),
}
"""Row → semantic consistency by kind, then the average as printed (poster of BMVC 2022, Table 2)."""

FOOTNOTE = "¹ As printed on the poster; the mean of the row's own cells is 0.934."
FOOTNOTE_ROW = "I_T_Emb"
RUN_COLUMNS = (
    "Row",
    "Recipe",
    "Seed",
    "Pairs",
    "Stage 1",
    "Stage 2",
    "Judge",
    "Sampling",
    "Machine",
    "Commit",
    "Date",
)
ABSENT = "–"


class Goal(NamedTuple):
    """One target of this project and how far it was reached, ready to print."""

    what: str
    poster: str
    target: str
    reached: str
    hit: bool


def update_readme(readme: Path, results: Path) -> bool:
    """Write the blocks of `readme` anew from the result files.

    Args:
        readme: A file with the marks of every block.
        results: Folder of the result files.

    Returns:
        Whether the file has changed.

    Raises:
        MxqvaeError: The file or a mark is missing, or as `read_results` and `render_blocks`.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MxqvaeError(f"{readme}: not a readable text file ({error}); name the README") from None
    new_text = fill_blocks(text, render_blocks(read_results(results)), str(readme))
    if new_text == text:
        return False
    with new_output_file(readme) as partial:
        partial.write_text(new_text, encoding="utf-8")
    return True


def render_blocks(results: Sequence[Result]) -> dict[str, str]:
    """Return the Markdown of every block by its name: `table2`, `goals` and `runs`.

    Raises:
        MxqvaeError: A result names a row that its table does not have.
    """
    by_row = {result.row: result for result in results}
    for result in results:
        if result.row not in POSTER_TABLE_2:
            raise MxqvaeError(
                f"results/{result.name}.json: Table 2 has no row {result.row!r}; "
                f"choose from {', '.join(POSTER_TABLE_2)}"
            )
    ours = by_row.get(OUR_ROW)
    return {
        "table2": _render_table2(by_row),
        "goals": _render_goals(ours) if ours else _not_run(),
        "runs": _render_runs(results) if results else _not_run(),
    }


def fill_blocks(text: str, blocks: Mapping[str, str], source: str) -> str:
    """Put every block of `blocks` between its marks in `text`.

    Args:
        source: What `text` is, for the error message.

    Raises:
        MxqvaeError: A block has not exactly one pair of marks.
    """
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        filled = f"{begin}\n{block}\n{end}"
        text, num_found = pattern.subn(lambda _, filled=filled: filled, text)
        if num_found != 1:
            raise MxqvaeError(f"{source}: needs the marks {begin} and {end} once, in this order; add them")
    return text


def _render_table2(by_row: Mapping[str, Result]) -> str:
    rows = []
    for label, poster in POSTER_TABLE_2.items():
        cells = [f"{share:.3f}" for share in poster]
        if label == FOOTNOTE_ROW:
            cells[-1] += " ¹"
        rows.append((_label(label), "poster", *cells))
        if label in by_row:
            rows += _rows_of_ours(by_row[label].figures, poster)
    rows += _rows_of_bounds([result.figures for result in by_row.values()])
    return f"{_table(('Model', '', *KINDS, 'Average'), rows)}\n\n{FOOTNOTE}"


def _rows_of_ours(figures: Table2Figures, poster: Sequence[float]) -> Iterator[tuple[str, ...]]:
    shares = _pair_shares(figures.samples)
    yield ("", "**ours**", *(f"**{_share(share)}**" for share in shares))
    yield ("", "difference", *(_difference(*both) for both in zip(shares, poster, strict=True)))
    yield ("", "ours, slot by slot", *map(_share, _slot_shares(figures.samples)))
    mix = [figures.samples.kinds[kind] for kind in KINDS]
    yield (
        "",
        "share of samples (of training)",
        *(f"{k.share:.1%} ({k.training_share:.1%})" for k in mix),
        "",
    )


def _rows_of_bounds(all_figures: Sequence[Table2Figures]) -> Iterator[tuple[str, ...]]:
    """Ceiling and floor, once for all rows that were scored against the same ones."""
    bounds = dict.fromkeys((_cells(figures.ceiling), _cells(figures.floor)) for figures in all_figures)
    for ceiling, floor in bounds:
        yield ("Real test pairs", "ceiling", *ceiling)
        yield ("Test pairs, captions shuffled", "floor", *floor)


def _render_goals(result: Result) -> str:
    marks = {True: "hit", False: "**miss**"}
    rows = [(*goal[:4], marks[goal.hit]) for goal in _goals(result.figures, result.cost)]
    return _table(("Goal", "Poster", "Target", "Reached", ""), rows)


def _goals(figures: Table2Figures, cost: Cost) -> Iterator[Goal]:
    samples, poster = figures.samples, POSTER_TABLE_2[OUR_ROW]
    average, quad4 = samples.average, samples.kinds["Quad4"].consistent
    margin = CONFIDENCE_Z * (samples.average_standard_error or 0.0)
    yield Goal(
        "Consistent pairs, average of the kinds",
        f"{poster[-1]:.3f}",
        "≥ 0.995",
        ABSENT if average is None else f"{average:.4f} ± {margin:.4f}",
        average is not None and average >= 0.995,
    )
    yield Goal(
        "Consistent pairs, Quad4",
        f"{poster[-2]:.3f}",
        "≥ 0.985",
        ABSENT if quad4 is None else f"{quad4.rate:.4f} ({quad4.low:.4f} to {quad4.high:.4f})",
        quad4 is not None and quad4.rate >= 0.985,
    )
    parsed, gap, accuracy = samples.parsed.rate, samples.largest_share_gap, figures.judge_accuracy
    yield Goal("Captions that parse", ABSENT, "≥ 99.9%", f"{parsed:.2%}", parsed >= 0.999)
    yield Goal(
        "Shares of the kinds against training", ABSENT, "≤ 2 points", f"{100 * gap:.2f} points", gap <= 0.02
    )
    yield Goal("Judge on real test digits", ABSENT, "≥ 99.5%", f"{accuracy:.2%}", accuracy >= 0.995)
    hours = (cost.autoencoder + cost.prior) / 3600
    yield Goal("Training of both stages, on two cores", ABSENT, "≤ 3 h", f"{hours:.1f} h", hours <= 3)


def _render_runs(results: Sequence[Result]) -> str:
    return _table(RUN_COLUMNS, [_run_cells(result) for result in results])


def _run_cells(result: Result) -> tuple[str, ...]:
    cost = result.cost
    seconds = (cost.autoencoder, cost.prior, cost.judge, cost.sampling)
    commit, _, changes = result.commit.partition(" ")
    return (
        _label(result.row),
        f"`{result.recipe}`",
        str(result.seed),
        f"{result.figures.samples.num_pairs:,}",
        *map(format_duration, seconds),
        f"{result.hardware}, torch {result.versions.get('torch', 'unknown')}",
        f"`{commit[:10]}` {changes}".strip(),
        result.date.isoformat(),
    )


def _not_run() -> str:
    return f"The row {OUR_ROW} has not been run yet."


def _pair_shares(score: ConsistencyScore) -> list[float | None]:
    by_kind = [score.kinds[kind].consistent for kind in KINDS]
    return [*(None if proportion is None else proportion.rate for proportion in by_kind), score.average]


def _slot_shares(score: ConsistencyScore) -> list[float | None]:
    by_kind = [score.kinds[kind].slots for kind in KINDS]
    shares = [rates.slot for rates in by_kind if rates is not None]
    average = fmean(shares) if len(shares) == len(KINDS) else None
    return [*(None if rates is None else rates.slot for rates in by_kind), average]


def _cells(score: ConsistencyScore) -> tuple[str, ...]:
    return tuple(map(_share, _pair_shares(score)))


def _share(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.3f}"


def _difference(ours: float | None, poster: float) -> str:
    """The difference of the figures as printed, so that a reader can check it; a shortfall is a miss."""
    if ours is None:
        return "miss"
    thousandths = round(1000 * ours) - round(1000 * poster)
    if thousandths < 0:
        return f"−{-thousandths / 1000:.3f} miss"
    return f"+{thousandths / 1000:.3f}"


def _label(row: str) -> str:
    return f"**{row}**" if row == OUR_ROW else row.replace("_", r"\_")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
