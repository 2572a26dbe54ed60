import dataclasses
from collections.abc import Callable
from statistics import fmean

import pytest

from mxqvae.data.caption_grammar import KINDS
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.evaluation.memorization import Reference
from mxqvae.report.table2 import FOOTNOTE, FOOTNOTE_ROW, POSTER, render_measures, render_table2
from mxqvae.results import Table2Result

Row = Callable[..., list[str]]
Rows = Callable[[str], list[list[str]]]


@pytest.mark.parametrize("label", POSTER)
def test_the_poster_s_averages_follow_from_its_cells_but_for_the_footnote(label: str):
    *by_kind, average = POSTER[label]
    assert len(by_kind) == len(KINDS)
    if label == FOOTNOTE_ROW:
        assert f"{fmean(by_kind):.3f}" in FOOTNOTE
        assert f"{fmean(by_kind):.3f}" != f"{average:.3f}"
    else:
        assert fmean(by_kind) == pytest.approx(average, abs=0.0005)


def test_ours_stands_below_the_poster_with_the_difference(table2_result: Table2Result, row: Row):
    block = render_table2([table2_result])
    assert row(block, "**MXQ-VAE**", "poster") == ["0.998", "0.997", "0.994", "0.996", "0.974", "0.992"]
    shares = ["1.000", "1.000", "1.000", "1.000", "0.900", "0.980"]
    assert row(block, "", "**ours**") == [f"**{share}**" for share in shares]
    differences = ["+0.002", "+0.003", "+0.006", "+0.004", "−0.074 miss", "−0.012 miss"]
    assert row(block, "", "difference") == differences
    assert row(block, "", "ours, slot by slot")[-2:] == ["0.975", "0.995"]
    assert row(block, "Real test pairs", "ceiling") == ["1.000"] * 6
    assert row(block, "Test pairs, captions shuffled", "floor") == ["0.000"] * 6
    assert row(block, r"I\_T\_Emb", "poster")[-1] == "0.945 ¹"


def test_what_drawing_anew_changed_is_shown(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    assert "first draws" not in render_table2([table2_result])
    refined = score_of(**dict.fromkeys(KINDS, 0.9))
    figures = dataclasses.replace(
        table2_result.figures, samples_refined=refined, samples_as_drawn=refined, drawn_anew=0.036
    )
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "ours, first draws") == ["0.900"] * 6
    assert "as drawn" not in block


def test_what_refinement_changed_is_shown(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    assert "as drawn" not in render_table2([table2_result])
    as_drawn = score_of(**dict.fromkeys(KINDS, 0.8))
    figures = dataclasses.replace(table2_result.figures, samples_as_drawn=as_drawn)
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "ours, codes as drawn") == ["0.800"] * 6


def test_a_kind_that_was_never_sampled_is_a_miss(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    figures = dataclasses.replace(table2_result.figures, samples=score_of(Single=1.0))
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "**ours**") == ["**1.000**", *["**–**"] * 5]
    assert row(block, "", "difference") == ["+0.002", *["miss"] * 5]


def test_rows_judged_alike_share_ceiling_and_floor(table2_result: Table2Result, rows: Rows):
    other = dataclasses.replace(table2_result, name="table2-i-t-seed7", row="I&T")
    block = render_table2([table2_result, other])
    assert sum(line[1] == "**ours**" for line in rows(block)) == 2
    assert sum(line[1] == "ceiling" for line in rows(block)) == 1


def test_measures_that_the_poster_lacks(table2_result: Table2Result, row: Row):
    cells = row(render_measures([table2_result]), "**MXQ-VAE**")
    assert cells == ["100.00%", "0.0 points", "2 (2)", "72", "144.0: 128.0 + 16.0", "50.0%", "–"]


def test_new_samples_are_told_kind_by_kind_where_that_was_measured(table2_result: Table2Result, row: Row):
    by_kind = {"nearer_than_p05_of_kind": 0.0712, "nearer_than_median_of_kind": 0.5}
    old = table2_result.figures.memorization
    reference = Reference(distances=old.test, nearer_than_p05=0.2, nearer_than_median=0.5, **by_kind)
    memorization = dataclasses.replace(old, reconstructed=reference, **by_kind)
    figures = dataclasses.replace(table2_result.figures, memorization=memorization)
    cells = row(render_measures([dataclasses.replace(table2_result, figures=figures)]), "**MXQ-VAE**")
    assert cells[-2:] == ["50.0%; kind by kind 7.1%", "20.0%; kind by kind 7.1%"]


def test_without_results_the_poster_stands_alone(rows: Rows):
    assert {line[1] for line in rows(render_table2([]))} == {"poster"}
    assert rows(render_measures([])) == []
