import dataclasses
from collections.abc import Callable

from mxqvae.report.table1 import IDEAL, POSTER, render_kinds, render_table1, table1_lines
from mxqvae.results import Table1Result

Row = Callable[..., list[str]]


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


def test_each_seed_has_its_line(table1_result: Table1Result, row: Row):
    other = dataclasses.replace(table1_result, name="table1-mxqvae-seed8", seed=8)
    block = render_table1([table1_result, other])
    assert row(block, "", "**ours**, seed 7") == row(block, "", "**ours**, seed 8")


def test_kinds_with_fewer_slots_have_no_higher_degrees(table1_result: Table1Result, row: Row):
    block = render_kinds([table1_result])
    assert row(block, "**MXQ-VAE**", "Quad1, seed 7")[:5] == ["–", "–", "–", "0.992", "0.000"]
    assert "–" not in row(block, "**MXQ-VAE**", "Quad4, seed 7")


def test_without_results_the_poster_stands_alone():
    assert {line[1] for line in table1_lines([])} == {"", "poster"}
