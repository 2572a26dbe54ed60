import dataclasses
from collections.abc import Callable

from mxqvae.report.runs import render_runs
from mxqvae.results import Cost, Table1Result, Table2Result

Rows = Callable[[str], list[list[str]]]


def test_runs_tell_how_to_run_a_row_again(table2_result: Table2Result, rows: Rows):
    (cells,) = rows(render_runs([table2_result]))
    assert cells == [
        "2",
        "**MXQ-VAE**",
        "`caption-mnist-cpu`",
        "7",
        "1 h 30 min",
        "1 h 00 min",
        "1 min 40 s",
        "2 min 05 s",
        "9.0 s",
        "2 cores of a test, torch 2.13.0",
        "`0123456789`",
        "2026-11-24",
    ]


def test_what_a_row_does_not_take_is_left_out(table1_result: Table1Result, rows: Rows):
    cost = Cost(data=20.0, autoencoder=5400.0, scoring=9.0)
    (cells,) = rows(render_runs([dataclasses.replace(table1_result, cost=cost)]))
    assert cells[4:9] == ["1 h 30 min", "–", "–", "–", "9.0 s"]


def test_every_commit_of_a_row_is_named(table2_result: Table2Result, rows: Rows):
    first, second = "1" * 40, "2" * 40 + " with changes"
    for joined, cell in (
        (f"{first}, {second}", "`1111111111`, `2222222222` with changes"),
        (f"{first} to {second}", "`1111111111` to `2222222222` with changes"),  # as older results have it
        ("unknown", "unknown"),
    ):
        (cells,) = rows(render_runs([dataclasses.replace(table2_result, commit=joined)]))
        assert cells[-2] == cell
