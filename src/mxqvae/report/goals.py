"""What this project set out to reach, and what it reached."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from mxqvae.evaluation.consistency import CONFIDENCE_Z, ConsistencyScore
from mxqvae.evaluation.correlation import mean_distance
from mxqvae.recipes import RECIPES
from mxqvae.report import table1, table2
from mxqvae.report.markdown import ABSENT, OUR_ROW, render_table, row_label
from mxqvae.report.own_pairs import share_of_ceiling
from mxqvae.reproduction.rows import WARPED
from mxqvae.results import PairsResult, Table1Result, Table2Figures, Table2Result

DEGREE_MARGIN = 0.005
HEADER = ("Goal", "Poster", "Target", "Reached", "")
HEADER_BESIDE = (*HEADER, "With warped digits", "")


class Goal(NamedTuple):
    """One target and how far it was reached, ready to print."""

    what: str
    poster: str
    target: str
    reached: str
    hit: bool | None
    """None: open, as something was not measured yet."""


def render_goals(table1_results: Sequence[Table1Result], table2_results: Sequence[Table2Result]) -> str:
    """The goals of our own row, and of the others beside it, each by its run of the lowest seed.

    Where ours was run with warped digits, what that reached stands beside it.
    """
    goals, beside = _goals(table1_results, table2_results), _goals_of_warped(table1_results, table2_results)
    if not beside:
        return _render(goals)
    lines = [(*goal[:4], _MARKS[goal.hit], *beside.get(goal.what, ("", ""))) for goal in goals]
    return render_table(HEADER_BESIDE, lines)


def render_count(table1_results: Sequence[Table1Result], table2_results: Sequence[Table2Result]) -> str:
    """How many of these goals were hit, as a sentence."""
    hits = [goal.hit for goal in _goals(table1_results, table2_results)]
    still_open = f", {hits.count(None)} open" if None in hits else ""
    marks = [mark for _, mark in _goals_of_warped(table1_results, table2_results).values()]
    warped = (
        f" Of {len(marks)} that were measured with warped digits too, {marks.count(_MARKS[True])} are hit."
        if marks
        else ""
    )
    return (
        f"Of {len(hits)} goals for Tables 1 and 2 and for training {hits.count(True)} are hit, "
        f"{hits.count(False)} missed{still_open}.{warped}"
    )


def render_pairs_goals(results: Sequence[PairsResult]) -> str:
    """The goals of captioned images, which no poster tells of."""
    return _render([goal for run in results for goal in _pairs_goals(run)])


def _goals(table1_results: Sequence[Table1Result], table2_results: Sequence[Table2Result]) -> list[Goal]:
    table1_runs, table2_runs = _by_row(table1_results), _by_row(table2_results)
    goals: list[Goal] = []
    if OUR_ROW in table1_runs:
        goals += _table1_goals(table1_runs[OUR_ROW])
        goals += _ablation_goals({row: run for row, run in table1_runs.items() if row in table1.POSTER})
    if OUR_ROW in table2_runs:
        ours = table2_runs[OUR_ROW]
        goals += _table2_goals(ours.figures)
        goals.append(_order_of_table2({row: run for row, run in table2_runs.items() if row in table2.POSTER}))
        goals += _sample_goals(ours.figures)
        goals += _training_goals(ours)
    return goals


def _goals_of_warped(
    table1_results: Sequence[Table1Result], table2_results: Sequence[Table2Result]
) -> dict[str, tuple[str, str]]:
    """What our row with warped digits reached, and whether that is a hit, by the goal."""
    table1_runs, table2_runs = _by_row(table1_results), _by_row(table2_results)
    goals: list[Goal] = []
    if WARPED.label in table1_runs:
        goals += _table1_goals(table1_runs[WARPED.label])
    if WARPED.label in table2_runs:
        ours = table2_runs[WARPED.label]
        goals += [*_table2_goals(ours.figures), *_sample_goals(ours.figures), *_training_goals(ours)]
    return {goal.what: (goal.reached, _MARKS[goal.hit]) for goal in goals}


_MARKS = {True: "hit", False: "**miss**", None: "open"}


def _render(goals: Sequence[Goal]) -> str:
    return render_table(HEADER, [(*goal[:4], _MARKS[goal.hit]) for goal in goals])


R = TypeVar("R", Table1Result, Table2Result)


def _by_row(results: Sequence[R]) -> dict[str, R]:
    """The run of each row with the lowest seed."""
    return {run.row: run for run in sorted(results, key=lambda run: run.seed, reverse=True)}


def _table1_goals(run: Table1Result) -> Iterator[Goal]:
    quad4, poster = run.figures.kinds["Quad4"], table1.POSTER[OUR_ROW]
    for degree, ideal, theirs in zip(quad4.degrees, table1.IDEAL, poster, strict=True):
        ours = degree.words.mean
        yield Goal(
            f"Table 1: Quad4, degree {degree.degree}",
            f"{theirs:.3f}",
            f"{ideal:g} ± {DEGREE_MARGIN:g}",
            f"{ours:.4f}",
            abs(ours - ideal) <= DEGREE_MARGIN,
        )
    theirs = mean_distance(poster, table1.IDEAL)
    yield Goal(
        "Table 1: mean distance from the ideal",
        f"{theirs:.3f}",
        "≤ 0.005",
        f"{quad4.word_distance:.4f}",
        quad4.word_distance <= 0.005,
    )


def _ablation_goals(runs: Mapping[str, Table1Result]) -> Iterator[Goal]:
    """How the rows of Table 1 lie to each other, and which of the poster's each looks like."""
    curves = {
        row: [degree.words.mean for degree in run.figures.kinds["Quad4"].degrees] for row, run in runs.items()
    }
    yield _order_goal(
        "Table 1: order of the rows at degree 0",
        {row: poster[-1] for row, poster in table1.POSTER.items()},
        {row: curve[-1] for row, curve in curves.items()},
    )
    for row, poster in table1.POSTER.items():
        if row == OUR_ROW or row not in curves:
            continue
        curve = curves[row]
        nearest = min(table1.POSTER, key=lambda other: mean_distance(curve, table1.POSTER[other]))
        yield Goal(
            f"Table 1: {row_label(row)}, degree 4 to 0",
            f"{poster[0]:.3f} to {poster[-1]:.3f}",
            "nearest to the poster's own row",
            f"{curve[0]:.3f} to {curve[-1]:.3f}, nearest to {row_label(nearest)}",
            nearest == row,
        )


def _table2_goals(figures: Table2Figures) -> Iterator[Goal]:
    step = table2.later_step(figures)
    yield from _consistency_goals(figures.samples, step)
    if step:
        yield from _consistency_goals(figures.samples_as_drawn, ", codes as drawn")


def _order_of_table2(runs: Mapping[str, Table2Result]) -> Goal:
    drawn = {row: run.figures.samples_as_drawn for row, run in runs.items()}
    return _order_goal(
        "Table 2: order of the rows, codes as drawn",
        {row: poster[-1] for row, poster in table2.POSTER.items()},
        {row: score.average for row, score in drawn.items() if score.average is not None},
        {row: score.average_standard_error or 0.0 for row, score in drawn.items()},
    )


def _consistency_goals(score: ConsistencyScore, how: str) -> Iterator[Goal]:
    """The goals of pairs that agree; `how` they were drawn ends the names."""
    poster, average, quad4 = table2.POSTER[OUR_ROW], score.average, score.kinds["Quad4"].consistent
    margin = CONFIDENCE_Z * (score.average_standard_error or 0.0)
    yield Goal(
        f"Table 2: consistent pairs, average of the kinds{how}",
        f"{poster[-1]:.3f}",
        "≥ 0.995",
        ABSENT if average is None else f"{average:.4f} ± {margin:.4f}",
        average is not None and average >= 0.995,
    )
    yield Goal(
        f"Table 2: consistent pairs, Quad4{how}",
        f"{poster[-2]:.3f}",
        "≥ 0.985",
        ABSENT if quad4 is None else f"{quad4.rate:.4f} ({quad4.low:.4f} to {quad4.high:.4f})",
        quad4 is not None and quad4.rate >= 0.985,
    )


def _sample_goals(figures: Table2Figures) -> Iterator[Goal]:
    parsed, gap = figures.samples.parsed.rate, figures.samples.largest_share_gap
    accuracy = figures.judge_accuracy
    yield Goal("Captions that parse", ABSENT, "≥ 99.9%", f"{parsed:.2%}", parsed >= 0.999)
    yield Goal(
        "Shares of the kinds against training", ABSENT, "≤ 2 points", f"{100 * gap:.2f} points", gap <= 0.02
    )
    yield Goal("Judge on real test digits", ABSENT, "≥ 99.5%", f"{accuracy:.2%}", accuracy >= 0.995)


def _training_goals(run: Table2Result) -> Iterator[Goal]:
    hours = (run.cost.autoencoder + run.cost.prior) / 3600
    yield Goal("Training of both stages, on two cores", ABSENT, "≤ 3 h", f"{hours:.1f} h", hours <= 3)
    if run.recipe in RECIPES and run.cost.autoencoder:
        training = RECIPES[run.recipe].autoencoder_training
        rate = training.num_steps * training.batch_size / run.cost.autoencoder
        yield Goal("Stage 1, on two cores", ABSENT, "≥ 250 pairs/s", f"{rate:.0f} pairs/s", rate >= 250)


def _order_goal(
    what: str,
    poster: Mapping[str, float],
    ours: Mapping[str, float],
    errors: Mapping[str, float] | None = None,
) -> Goal:
    """Whether rows rank as the poster's do; open while some are missing or tied and the others do.

    Args:
        errors: Standard error of each of `ours`, those without a score too; none: all are exact.
    """
    errors = errors or dict.fromkeys(ours, 0.0)
    ranked = [row for row in _ranked(poster) if row in ours]
    leads = {
        (row, other): (ours[row] - ours[other], CONFIDENCE_Z * math.hypot(errors[row], errors[other]))
        for row, other in itertools.combinations(ranked, 2)
    }
    is_broken = any(lead < -margin for lead, margin in leads.values())
    tied = [
        f"{row_label(row)} and {row_label(other)}"
        for (row, other), (lead, margin) in leads.items()
        if abs(lead) <= margin
    ]
    remarks = {
        "too near to tell": tied,
        "a kind was never sampled by": [row_label(row) for row in errors if row not in ours],
        "not measured": [row_label(row) for row in _ranked(poster) if row not in errors],
    }
    said = [f"; {remark}: {', '.join(rows)}" for remark, rows in remarks.items() if rows]
    kept = None if said else True
    return Goal(
        what, _order(poster), "the poster's order", _order(ours) + "".join(said), not is_broken and kept
    )


def _ranked(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda row: scores[row], reverse=True)


def _order(scores: Mapping[str, float]) -> str:
    return " > ".join(f"{row_label(row)} {scores[row]:.3f}" for row in _ranked(scores))


def _pairs_goals(run: PairsResult) -> Iterator[Goal]:
    share, nearer = share_of_ceiling(run), run.figures.memorization.nearer_than_p05
    yield Goal(
        f"{run.data_set}: captions that find their image, samples over real test pairs",
        ABSENT,
        "≥ 80%",
        ABSENT if share is None else f"{share:.1%}",
        share is not None and share >= 0.8,
    )
    yield Goal(
        f"{run.data_set}: samples nearer to a training image than 95% of test images",
        ABSENT,
        "≤ 5%",
        f"{nearer:.1%}",
        nearer <= 0.05,
    )
