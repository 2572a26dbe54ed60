import dataclasses
from collections.abc import Callable

from mxqvae.report.dirty_data import NOT_MEASURED, render_dirty_data
from mxqvae.results import DirtyDataResult

Rows = Callable[[str], list[list[str]]]


def test_without_results_it_says_how_to_measure(rows: Rows):
    ((first, *others),) = rows(render_dirty_data([]))
    assert first == NOT_MEASURED
    assert set(others) == {"–"}


def test_clean_captions_stand_first(dirty_data_result: DirtyDataResult, rows: Rows):
    figures = dataclasses.replace(
        dirty_data_result.figures, num_lying={"Single": 0, "Quad4": 0}, precision=None, recall=None
    )
    clean = dataclasses.replace(dirty_data_result, row="None lies", figures=figures)
    shared = ["0.992", "0.000", "0.004", "0.750", "0.800", "0.985", "0.800"]
    assert rows(render_dirty_data([dirty_data_result, clean])) == [
        ["None lies", "1,000", "0.0%", "–", "–", *shared],
        ["20% lie, contradicted pairs left out", "1,000", "2.5%", "0.925", "0.875", *shared],
    ]


def test_seeds_are_put_together(dirty_data_result: DirtyDataResult, rows: Rows):
    figures = dataclasses.replace(dirty_data_result.figures, recall=0.895, num_lying={"Single": 15})
    other = dataclasses.replace(dirty_data_result, seed=8, figures=figures)
    ((row, _, lying, precision, recall, *_),) = rows(render_dirty_data([dirty_data_result, other]))
    assert row == "20% lie, contradicted pairs left out, 2 seeds"
    assert (lying, precision, recall) == ("2.0%", "0.925 ± 0.000", "0.885 ± 0.014")
