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
    figures = dataclasses.replace(dirty_data_result.figures, num_lying=0, precision=None, recall=None)
    clean = dataclasses.replace(dirty_data_result, row="None lies", figures=figures)
    shared = ["0.992", "0.000", "0.004", "0.7500", "0.8000", "0.9850", "0.8000"]
    assert rows(render_dirty_data([dirty_data_result, clean])) == [
        ["None lies", "1,000", "0.0%", "–", "–", *shared],
        ["20% lie, contradicted pairs left out", "1,000", "2.5%", "0.925", "0.875", *shared],
    ]
