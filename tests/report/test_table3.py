import dataclasses
from collections.abc import Callable

import pytest

from mxqvae.evaluation.similarity import SimilarityComparison, SimilarityScore
from mxqvae.report.table3 import BASELINE_ROW, NOT_MEASURED, POSTER, render_table3
from mxqvae.results import PairsUsed, Table3Result

Rows = Callable[[str], list[list[str]]]

PAIRS = PairsUsed(
    num_training_images=7282,
    num_training_captions=36_410,
    captioned_share=0.75,
    num_test_images=809,
    image_size=128,
)
DESCRIBED = (
    "7,282 training images, 75% of them with a caption, 36,410 captions; "
    "809 test images with a caption; 128 px"
)


def some_score(precision: float, top: float) -> SimilarityScore:
    return SimilarityScore(
        num_pairs=10,
        unigram_precision=precision,
        unigram_precision_of_all=precision,
        top_1=top,
        top_5=top,
        top_10=top,
    )


@pytest.fixture
def result(run_of: Callable[..., dict]) -> Table3Result:
    """A made-up row of Table 3, half the way from floor to ceiling."""
    figures = SimilarityComparison(
        feature_space="colours",
        sentence_encoder="words",
        num_reference_images=10,
        num_neighbours=10,
        references_per_pair=10.0,
        samples=some_score(0.3, 0.6),
        dealt_samples=some_score(0.2, 0.5),
        ceiling=some_score(0.4, 0.8),
        floor=some_score(0.2, 0.4),
    )
    return Table3Result(**run_of("table3"), data_set="emoji", references="test", pairs=PAIRS, figures=figures)


def test_a_set_that_was_not_measured_says_what_it_needs(rows: Rows):
    lines = rows(render_table3([]))
    assert {line[0] for line in lines} == set(POSTER)
    assert [line[2] for line in lines].count("poster") == 3
    assert [line[2] for line in lines if line[2] in NOT_MEASURED.values()] == list(NOT_MEASURED.values())


def test_samples_stand_between_ceiling_and_floor(result: Table3Result, rows: Rows):
    baseline = dataclasses.replace(result, row=BASELINE_ROW, name="table3-emoji-joint-gan-mmvae-seed7")
    lines = [line[1:] for line in rows(render_table3([result, baseline])) if line[0] == "emoji"]
    figures = ["0.300", "0.600", "0.600", "0.600"]
    way = ["", "on the way from floor to ceiling", "0.500", "0.500", "0.500", "0.500"]
    assert lines == [
        [BASELINE_ROW, "**our reconstruction**", *figures],
        way,
        ["**MXQ-VAE**", "**ours**", *figures],
        way,
        ["Real pairs", "ceiling", "0.400", "0.800", "0.800", "0.800"],
        ["Real images, captions shuffled", "floor", "0.200", "0.400", "0.400", "0.400"],
        ["Pairs used", DESCRIBED, "", "", "", ""],
    ]


def test_a_note_on_the_pairing_is_told(result: Table3Result, rows: Rows):
    noted = dataclasses.replace(PAIRS, pairing_note="Captions are of the species.")
    last = rows(render_table3([dataclasses.replace(result, pairs=noted)]))[-1]
    assert last[2] == f"{DESCRIBED}. Captions are of the species."


def test_recipes_of_one_row_are_told_apart(result: Table3Result, rows: Rows):
    other = dataclasses.replace(result, recipe="photos-paper", name="table3-emoji-photos-paper-seed7")
    labels = [line[2] for line in rows(render_table3([result, other])) if "ours" in line[2]]
    assert labels == ["**ours**, `caption-mnist-cpu`", "**ours**, `photos-paper`"]


def test_a_set_of_the_poster_s_stands_below_it(result: Table3Result, rows: Rows):
    lines = [line[2] for line in rows(render_table3([dataclasses.replace(result, data_set="CUB")]))]
    assert lines[3:5] == ["poster", "**ours**"]
    assert NOT_MEASURED["CUB"] not in lines
