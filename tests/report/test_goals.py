import dataclasses
from collections.abc import Callable

from mxqvae.data.caption_grammar import KINDS
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.report.goals import render_goals
from mxqvae.results import Table1Result, Table2Result

Row = Callable[..., list[str]]
Rows = Callable[[str], list[list[str]]]


def test_goals_show_hits_and_misses(
    table1_result: Table1Result, table2_result: Table2Result, row: Row, rows: Rows
):
    block = render_goals([table1_result], [table2_result])
    hits = [goal[-1] for goal in rows(block)]
    miss = "**miss**"
    assert hits == [miss, miss, "hit", "hit", "hit", "hit", miss, miss, "hit", "hit", "hit", "hit"]
    assert row(block, "Judge on real test digits")[1:3] == ["≥ 99.5%", "99.61%"]
    assert row(block, "Training of both stages, on two cores")[2] == "2.5 h"
    assert row(block, "Table 1: Quad4, degree 3")[:3] == ["0.729", "0.75 ± 0.005", "0.7440"]


def test_codes_as_drawn_have_goals_of_their_own(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    as_drawn = score_of(**dict.fromkeys(KINDS, 0.95))
    figures = dataclasses.replace(table2_result.figures, samples_as_drawn=as_drawn)
    block = render_goals([], [dataclasses.replace(table2_result, figures=figures)])
    average = "Table 2: consistent pairs, average of the kinds"
    assert row(block, f"{average}, refined")[2].startswith("0.9800")
    assert row(block, f"{average}, codes as drawn")[2].startswith("0.9500")
    assert row(block, "Table 2: consistent pairs, Quad4, codes as drawn")[::3] == ["0.974", "**miss**"]
    assert "as drawn" not in render_goals([], [table2_result])


def test_the_lowest_seed_of_our_own_row_counts(table2_result: Table2Result):
    other = dataclasses.replace(table2_result, row="I&T")
    assert render_goals([], [other]) == render_goals([], [])
    later = dataclasses.replace(table2_result, seed=8)
    assert render_goals([], [later, table2_result]) == render_goals([], [table2_result])


def test_a_kind_that_was_never_sampled_is_a_miss(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    singles = score_of(Single=1.0)
    figures = dataclasses.replace(
        table2_result.figures, samples=singles, samples_refined=singles, samples_as_drawn=singles
    )
    block = render_goals([], [dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "Table 2: consistent pairs, Quad4")[-2:] == ["–", "**miss**"]
