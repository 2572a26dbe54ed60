import dataclasses
from collections.abc import Callable

import pytest

from mxqvae.evaluation.correlation import CorrelationScore, MeanShare, summarise_degrees
from mxqvae.report.table1 import (
    IDEAL,
    POSTER,
    render_kinds,
    render_photos,
    render_summary,
    render_table1,
    table1_lines,
)
from mxqvae.report.table3 import NOT_MEASURED
from mxqvae.results import Table1Result

Row = Callable[..., list[str]]
Rows = Callable[[str], list[list[str]]]


def test_the_poster_s_rows_have_every_degree():
    assert all(len(scores) == len(IDEAL) for scores in POSTER.values())


def test_ours_stands_below_the_poster(table1_result: Table1Result, row: Row):
    block = render_table1([table1_result])
    assert row(block, "**MXQ-VAE**", "poster") == ["0.969", "0.729", "0.489", "0.248", "0.009", "0.015"]
    assert row(block, "", "**ours**") == [
        f"**{cell}**" for cell in ("0.992", "0.744", "0.496", "0.248", "0.000", "0.004")
    ]
    assert row(block, "", "ours, per slot")[0] == "0.992"
    assert row(block, "Ideal", "")[:2] == ["1.000", "0.750"]


def test_the_summary_is_the_table_without_what_stands_below_our_figures(
    table1_result: Table1Result, rows: Rows
):
    summary, whole = rows(render_summary([table1_result])), rows(render_table1([table1_result]))
    assert [line for line in whole if line not in summary] == [
        line for line in whole if line[1] in ("difference", "ours, per slot")
    ]
    assert len(summary) == 6


@pytest.fixture
def several(table1_result: Table1Result) -> list[Table1Result]:
    """The made-up row with three seeds: as it is, half of its scores, three quarters."""

    def scaled(share: MeanShare, factor: float) -> MeanShare:
        return dataclasses.replace(share, mean=factor * share.mean)

    def result(seed: int, factor: float) -> Table1Result:
        kinds = {
            name: summarise_degrees(
                [
                    dataclasses.replace(one, words=scaled(one.words, factor), slots=scaled(one.slots, factor))
                    for one in kind.degrees
                ]
            )
            for name, kind in table1_result.figures.kinds.items()
        }
        figures = CorrelationScore(kinds=kinds)
        return dataclasses.replace(table1_result, name=f"seed{seed}", seed=seed, figures=figures)

    return [result(seed, factor) for seed, factor in ((0, 1.0), (1, 0.5), (2, 0.75))]


def test_the_difference_is_of_the_figures_as_printed(table1_result: Table1Result, row: Row):
    assert row(render_table1([table1_result]), "", "difference") == [
        "+0.023",
        "+0.015",
        "+0.007",
        "+0.000",
        "−0.009",
        "−0.011",
    ]


def test_what_is_farther_from_the_ideal_than_the_poster_s_is_a_miss(table1_result: Table1Result, row: Row):
    without_im = dataclasses.replace(table1_result, row="MXQ-VAE w/o IM")
    # The poster's row has 0.896 0.802 0.698 0.595 0.498, above the ideal but for degree 4.
    assert not any("miss" in cell for cell in row(render_table1([without_im]), "", "difference"))
    quad4 = table1_result.figures.kinds["Quad4"]
    words = [
        dataclasses.replace(one, words=dataclasses.replace(one.words, mean=0.9)) for one in quad4.degrees
    ]
    figures = CorrelationScore(kinds=table1_result.figures.kinds | {"Quad4": summarise_degrees(words)})
    copies = dataclasses.replace(table1_result, figures=figures)
    assert row(render_table1([copies]), "", "difference") == [
        "−0.069 miss",
        "+0.171 miss",
        "+0.411 miss",
        "+0.652 miss",
        "+0.891 miss",
        "+0.425 miss",
    ]


def test_several_seeds_are_one_line_of_means_and_deviations(several: list[Table1Result], row: Row):
    block = render_table1(several)
    assert row(block, "", "**ours**, 3 seeds") == [
        "**0.744 ± 0.248**",
        "**0.558 ± 0.186**",
        "**0.372 ± 0.124**",
        "**0.186 ± 0.062**",
        "**0.000 ± 0.000**",
        "**0.128 ± 0.124**",
    ]
    assert row(block, "", "ours, per slot")[0] == "0.744 ± 0.248"
    assert row(block, "", "difference")[0] == "−0.225 miss"
    assert row(render_kinds(several), "**MXQ-VAE**", "Quad1, 3 seeds")[3] == "0.744 ± 0.248"


def test_two_recipes_of_a_row_are_told_apart_and_not_averaged(table1_result: Table1Result, row: Row):
    other = dataclasses.replace(table1_result, name="other", recipe="caption-mnist-paper")
    block = render_table1([table1_result, other])
    assert row(block, "", "**ours**, `caption-mnist-cpu`") == row(
        block, "", "**ours**, `caption-mnist-paper`"
    )


def test_rows_that_the_paper_lacks_stand_below_its_four_once_there_are_results(
    table1_result: Table1Result, rows: Rows
):
    assert "masks only" not in render_table1([table1_result])
    extra = dataclasses.replace(table1_result, row="MXQ-VAE w/o TC, masks only")
    lines = rows(render_table1([extra, table1_result]))
    assert [line[:2] for line in lines[-5:]] == [
        ["", "**ours**"],
        ["", "difference"],
        ["", "ours, per slot"],
        ["MXQ-VAE w/o TC, masks only", "**ours**"],
        ["", "ours, per slot"],
    ]
    assert "MXQ-VAE w/o TC, masks only" in render_kinds([extra])


@pytest.fixture
def of_photos(table1_result: Table1Result) -> Table1Result:
    """The made-up row, on photos of which no caption has three colours."""
    kinds = {name: kind for name, kind in table1_result.figures.kinds.items() if name != "Quad3"}
    return dataclasses.replace(
        table1_result,
        name="table1-my_photos-photos-cpu-seed7",
        data_set="my_photos",
        recipe="photos-cpu",
        figures=CorrelationScore(kinds=kinds),
    )


def test_photos_that_were_not_measured_say_what_they_need(rows: Rows):
    lines = rows(render_photos([]))
    assert [(line[0], line[2]) for line in lines] == [
        *[("Flower", "poster")] * 4,
        ("Flower", NOT_MEASURED["Flower"]),
        *[("CUB", "poster")] * 4,
        ("CUB", NOT_MEASURED["CUB"]),
    ]
    assert lines[8][1:] == ["**MXQ-VAE**", "poster", "0.995", "0.749", "0.515", "0.292", "0.083", "0.029"]


def test_own_photos_have_the_kinds_that_there_are(of_photos: Table1Result, rows: Rows):
    lines = [line[1:] for line in rows(render_photos([of_photos])) if line[0] == r"my\_photos"]
    assert [line[:2] for line in lines] == [
        ["**MXQ-VAE**", f"**ours**, {kind}, 20 pairs"] for kind in ("Quad4", "Quad2", "Quad1")
    ]
    assert lines[2][2:] == ["–", "–", "–", "0.992", "0.000", "0.004"]


def test_the_poster_s_photos_have_the_difference_in_quad4(of_photos: Table1Result, row: Row, rows: Rows):
    flowers = dataclasses.replace(of_photos, data_set="Flower")
    block = render_photos([flowers])
    assert NOT_MEASURED["Flower"] not in block
    differences = ["−0.004 miss", "+0.007", "+0.006", "−0.002 miss", "−0.014", "−0.004"]
    assert row(block, "Flower", "**MXQ-VAE**", "difference") == differences
    labels = [line[2] for line in rows(block) if line[:2] == ["Flower", "**MXQ-VAE**"]]
    quad4, *others = [f"**ours**, {kind}, 20 pairs" for kind in ("Quad4", "Quad2", "Quad1")]
    assert labels == ["poster", quad4, "difference", *others]


def test_seeds_of_photos_are_one_line_and_recipes_are_not(of_photos: Table1Result, rows: Rows):
    later = dataclasses.replace(of_photos, seed=8)
    other = dataclasses.replace(of_photos, recipe="pairs-cpu")
    labels = [line[2] for line in rows(render_photos([of_photos, later, other])) if "Quad4" in line[2]]
    assert labels == [
        "**ours**, `photos-cpu`, 2 seeds, Quad4, 20 pairs",
        "**ours**, `pairs-cpu`, Quad4, 20 pairs",
    ]


def test_kinds_with_fewer_slots_have_no_higher_degrees(table1_result: Table1Result, row: Row):
    block = render_kinds([table1_result])
    assert row(block, "**MXQ-VAE**", "Quad1")[:5] == ["–", "–", "–", "0.992", "0.000"]
    assert "–" not in row(block, "**MXQ-VAE**", "Quad4")


def test_without_results_the_poster_stands_alone():
    assert {line[1] for line in table1_lines([])} == {"", "poster"}
