import dataclasses
from collections.abc import Callable

from mxqvae.report.reconstruction import FOOTNOTE, NOT_MEASURED, render_reconstruction
from mxqvae.results import ReconstructionResult

Rows = Callable[[str], list[list[str]]]


def test_without_results_it_says_how_to_measure(rows: Rows):
    ((first, *others),) = rows(render_reconstruction([]))
    assert first == NOT_MEASURED
    assert set(others) == {"–"}


def test_the_paper_s_loss_stands_above_the_perceptual_one(
    reconstruction_result: ReconstructionResult, rows: Rows
):
    perceptual = dataclasses.replace(
        reconstruction_result, recipe="photos-cpu-perceptual", perceptual_weight=0.2
    )
    block = render_reconstruction([perceptual, reconstruction_result])
    figures = ["20", "21.50", "0.700"]
    assert rows(block) == [
        ["things", "64", "`photos-cpu`", "7", "squared error (the paper's)", *figures, "3.25"],
        [
            *("things", "64", "`photos-cpu-perceptual`", "7", "squared error + 0.2 · perceptual"),
            *figures,
            "3.25 ¹",
        ],
    ]
    assert block.endswith(f"Frechet distance: squared, in mean colours.\n\n{FOOTNOTE}")


def test_nothing_is_said_against_a_distance_that_no_loss_has_seen(
    reconstruction_result: ReconstructionResult,
):
    assert FOOTNOTE not in render_reconstruction([reconstruction_result])
