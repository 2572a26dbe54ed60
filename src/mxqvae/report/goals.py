"""What this project set out to reach, and what it reached."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from mxqvae.evaluation.consistency import CONFIDENCE_Z, ConsistencyScore
from mxqvae.report import table1, table2
from mxqvae.report.markdown import ABSENT, OUR_ROW, render_table
from mxqvae.results import Table1Result, Table2Result

DEGREE_MARGIN = 0.005
HEADER = ("Goal", "Poster", "Target", "Reached", "")


class Goal(NamedTuple):
    """One target and how far it was reached, ready to print."""

    what: str
    poster: str
    target: str
    reached: str
    hit: bool


def render_goals(table1_results: Sequence[Table1Result], table2_results: Sequence[Table2Result]) -> str:
    """The goals of our own row, by the run of the lowest seed."""
    goals: list[Goal] = []
    for run in _ours(table1_results):
        goals += _table1_goals(run)
    for run in _ours(table2_results):
        goals += _table2_goals(run)
    marks = {True: "hit", False: "**miss**"}
    return render_table(HEADER, [(*goal[:4], marks[goal.hit]) for goal in goals])


R = TypeVar("R", Table1Result, Table2Result)


def _ours(results: Sequence[R]) -> list[R]:
    """The run of our own row with the lowest seed, if there is one."""
    runs = sorted((result for result in results if result.row == OUR_ROW), key=lambda run: run.seed)
    return runs[:1]


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
    theirs = fmean(abs(a - b) for a, b in zip(poster, table1.IDEAL, strict=True))
    yield Goal(
        "Table 1: mean distance from the ideal",
        f"{theirs:.3f}",
        "≤ 0.005",
        f"{quad4.word_distance:.4f}",
        quad4.word_distance <= 0.005,
    )


def _table2_goals(run: Table2Result) -> Iterator[Goal]:
    figures, samples = run.figures, run.figures.samples
    step = table2.later_step(figures)
    yield from _consistency_goals(samples, step)
    if step:
        yield from _consistency_goals(figures.samples_as_drawn, ", codes as drawn")
    parsed, gap, accuracy = samples.parsed.rate, samples.largest_share_gap, figures.judge_accuracy
    yield Goal("Captions that parse", ABSENT, "≥ 99.9%", f"{parsed:.2%}", parsed >= 0.999)
    yield Goal(
        "Shares of the kinds against training", ABSENT, "≤ 2 points", f"{100 * gap:.2f} points", gap <= 0.02
    )
    yield Goal("Judge on real test digits", ABSENT, "≥ 99.5%", f"{accuracy:.2%}", accuracy >= 0.995)
    hours = (run.cost.autoencoder + run.cost.prior) / 3600
    yield Goal("Training of both stages, on two cores", ABSENT, "≤ 3 h", f"{hours:.1f} h", hours <= 3)


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
