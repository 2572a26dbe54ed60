import dataclasses
from collections.abc import Callable
from statistics import fmean

import pytest

from mxqvae.data.caption_grammar import COLOURS, KINDS
from mxqvae.evaluation.consistency import ConsistencyScore, Proportion
from mxqvae.evaluation.diversity import measure_diversity
from mxqvae.evaluation.memorization import Reference
from mxqvae.report.table2 import (
    FOOTNOTE,
    FOOTNOTE_ROW,
    POSTER,
    render_measures,
    render_summary,
    render_table2,
)
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


@pytest.mark.parametrize("render", [render_table2, render_summary])
def test_below_it_stands_how_good_the_judge_is(
    table2_result: Table2Result, render: Callable[[list[Table2Result]], str]
):
    judged = f"{FOOTNOTE} The judge names 99.61% of real test digits right."
    assert render([table2_result]).endswith(judged)
    assert render([]).endswith(FOOTNOTE)


def test_ours_stands_below_the_poster_with_the_difference(table2_result: Table2Result, row: Row):
    block = render_table2([table2_result])
    assert row(block, "**MXQ-VAE**", "poster") == [
        *("0.998", "0.997", "0.994", "0.996", "0.974", "0.992"),
        "–",
    ]
    shares = ["1.000", "1.000", "1.000", "1.000", "0.900", "0.980", "0.980"]
    assert row(block, "", "**ours**") == [f"**{share}**" for share in shares]
    differences = ["+0.002", "+0.003", "+0.006", "+0.004", "−0.074 miss", "−0.012 miss", "–"]
    assert row(block, "", "difference") == differences
    assert row(block, "", "ours, slot by slot")[-3:] == ["0.975", "0.995", "0.991"]
    assert row(block, "Real test pairs", "ceiling") == ["1.000"] * 7
    assert row(block, "Test pairs, captions shuffled", "floor") == ["0.000"] * 7
    assert row(block, r"I\_T\_Emb", "poster")[-2] == "0.945 ¹"


@pytest.mark.parametrize(
    ("refined", "as_drawn", "labels"),
    [
        # One share for each way to draw; the samples' own is that of the fixture, .98.
        (None, None, ["**ours**", "difference"]),
        (
            None,
            0.8,
            [
                "**ours**, refined",
                "difference, refined",
                "ours, codes as drawn",
                "difference, codes as drawn",
            ],
        ),
        (
            0.9,
            0.8,
            [
                "**ours**, with redraws",
                "difference, with redraws",
                "ours, first draws",
                "ours, codes as drawn",
                "difference, codes as drawn",
            ],
        ),
        (
            0.8,
            0.8,
            [
                "**ours**, with redraws",
                "difference, with redraws",
                "ours, codes as drawn",
                "difference, codes as drawn",
            ],
        ),
    ],
)
def test_what_the_paper_does_not_do_to_its_codes_is_named(
    table2_result: Table2Result,
    score_of: Callable[..., ConsistencyScore],
    rows: Rows,
    refined: float | None,
    as_drawn: float | None,
    labels: list[str],
):
    figures = table2_result.figures
    scores = {"samples_refined": refined, "samples_as_drawn": as_drawn}
    changed = {
        name: score_of(**dict.fromkeys(KINDS, share)) for name, share in scores.items() if share is not None
    }
    result = dataclasses.replace(table2_result, figures=dataclasses.replace(figures, **changed))
    found = [line[1] for line in rows(render_table2([result]))]
    first = found.index(labels[0])
    assert found[first : first + len(labels) + 1] == [*labels, "ours, slot by slot"]


def test_codes_as_drawn_are_compared_with_the_poster_too(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    as_drawn = score_of(**(dict.fromkeys(KINDS, 0.95) | {"Quad4": 1.0}))
    figures = dataclasses.replace(table2_result.figures, samples_as_drawn=as_drawn)
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "ours, codes as drawn") == ["0.950"] * 4 + ["1.000", "0.960", "0.960"]
    assert row(block, "", "difference, codes as drawn") == [
        "−0.048 miss",
        "−0.047 miss",
        "−0.044 miss",
        "−0.046 miss",
        "+0.026",
        "−0.032 miss",
        "–",
    ]


def test_a_kind_that_was_never_sampled_is_a_miss(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    singles = score_of(Single=1.0)
    figures = dataclasses.replace(
        table2_result.figures, samples=singles, samples_refined=singles, samples_as_drawn=singles
    )
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "**ours**") == ["**1.000**", *["**–**"] * 5, "**1.000**"]
    assert row(block, "", "difference") == ["+0.002", *["miss"] * 5, "–"]


def test_the_share_of_all_pairs_stands_beside_the_average_of_the_kinds(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    score = score_of(**dict.fromkeys(KINDS, 0.9))
    score = dataclasses.replace(score, consistent=Proportion(rate=0.85, low=0.8, high=0.9))
    figures = dataclasses.replace(table2_result.figures, samples_as_drawn=score)
    block = render_table2([dataclasses.replace(table2_result, figures=figures)])
    assert row(block, "", "ours, codes as drawn")[-2:] == ["0.900", "0.850"]


def test_a_row_of_ours_alone_stands_last_without_a_poster_s(table2_result: Table2Result, rows: Rows):
    warped = dataclasses.replace(table2_result, name="table2-warped-seed7", row="MXQ-VAE, warped digits")
    block = rows(render_table2([warped, table2_result]))
    first = block.index(next(line for line in block if line[0] == "MXQ-VAE, warped digits"))
    assert [line[1] for line in block[first:]] == [
        "**ours**",
        "ours, slot by slot",
        "share of samples (of training)",
        "ceiling",
        "floor",
    ]
    assert [line[0] for line in rows(render_measures([warped, table2_result]))] == [
        "**MXQ-VAE**",
        "MXQ-VAE, warped digits",
    ]


def test_a_baseline_is_no_better_for_being_higher(table2_result: Table2Result, row: Row):
    block = render_table2([dataclasses.replace(table2_result, row="I&T")])
    differences = row(block, "", "difference")
    assert differences == ["+0.021", "+0.074", "+0.325", "+0.566", "+0.645", "+0.326", "–"]
    block = render_table2([dataclasses.replace(table2_result, row="MXQ-VAE")])
    assert "miss" in "".join(row(block, "", "difference"))


def test_the_summary_has_the_poster_s_figures_ours_as_drawn_and_in_the_end(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row, rows: Rows
):
    summary = render_summary([table2_result])
    assert row(summary, "**MXQ-VAE**", "poster") == ["0.998", "0.997", "0.994", "0.996", "0.974", "0.992"]
    assert row(summary, "", "**ours**") == ["1.000", "1.000", "1.000", "1.000", "0.900", "0.980"]
    assert len(rows(summary)) == len(POSTER) + 3
    figures = dataclasses.replace(
        table2_result.figures, samples_as_drawn=score_of(**dict.fromkeys(KINDS, 0.8))
    )
    summary = render_summary([dataclasses.replace(table2_result, figures=figures)])
    assert row(summary, "", "**ours**, codes as drawn") == ["0.800"] * 6
    assert row(summary, "", "**ours**, refined")[-1] == "0.980"


def test_measures_tell_drawn_codes_from_what_became_of_them(
    table2_result: Table2Result, score_of: Callable[..., ConsistencyScore], row: Row
):
    figures = dataclasses.replace(table2_result.figures, samples_as_drawn=score_of(Single=0.9))
    block = render_measures([dataclasses.replace(table2_result, figures=figures)])
    cells = row(block, "**MXQ-VAE**, refined")
    assert cells[:2] == ["100.00%; 100.00% as drawn", "0.0 points; 80.0 as drawn"]


def test_rows_judged_alike_share_ceiling_and_floor(table2_result: Table2Result, rows: Rows):
    other = dataclasses.replace(table2_result, name="table2-i-t-seed7", row="I&T")
    block = render_table2([table2_result, other])
    assert [line[1] for line in rows(block) if line[1].startswith("**our")] == [
        "**our reconstruction**",
        "**ours**",
    ]
    assert sum(line[1] == "ceiling" for line in rows(block)) == 1


def test_measures_that_the_poster_lacks(table2_result: Table2Result, row: Row):
    cells = row(render_measures([table2_result]), "**MXQ-VAE**")
    assert cells == [
        "100.00%",
        "0.0 points",
        "2 of 2 expected at its mix",
        "0.800 (0.800)",
        "0.500 (0.500)",
        "72",
        "144.0: 128.0 + 16.0",
        "0.750",
        "0.950",
        "50.0%",
        "–",
    ]


def test_configurations_are_held_against_what_the_same_mix_of_kinds_would_have(
    table2_result: Table2Result, row: Row
):
    singles = [f"This is {colour} {digit}." for colour in COLOURS for digit in range(10)]
    repeated = singles[:30] * 100  # 3,000 captions would name all 40
    figures = dataclasses.replace(table2_result.figures, diversity=measure_diversity(repeated, repeated))
    cells = row(render_measures([dataclasses.replace(table2_result, figures=figures)]), "**MXQ-VAE**")
    assert cells[2] == "30 of 40 expected at its mix"


def test_captions_without_slots_have_no_distances(table2_result: Table2Result, row: Row):
    figures = dataclasses.replace(
        table2_result.figures, diversity=measure_diversity(["This is this."], ["This is red 1."])
    )
    cells = row(render_measures([dataclasses.replace(table2_result, figures=figures)]), "**MXQ-VAE**")
    assert cells[2:5] == ["0 of 0 expected at its mix", "– (0.900)", "– (0.750)"]


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
