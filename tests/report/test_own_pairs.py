import dataclasses
from collections.abc import Callable

from mxqvae.evaluation.retrieval import Recall
from mxqvae.report.goals import render_pairs_goals
from mxqvae.report.own_pairs import NOT_MEASURED, render_pairs, share_of_ceiling
from mxqvae.results import PairsResult

Rows = Callable[[str], list[list[str]]]
NO_RECALL = Recall(num_pairs=20, recall_at_1=0.0, recall_at_5=0.0, cosine=0.0)


def without_ceiling(run: PairsResult) -> PairsResult:
    retrieval = dataclasses.replace(run.figures.retrieval, ceiling=NO_RECALL)
    return dataclasses.replace(run, figures=dataclasses.replace(run.figures, retrieval=retrieval))


def test_without_results_it_says_how_to_measure(rows: Rows):
    assert rows(render_pairs([])) == [[NOT_MEASURED]]


def test_a_run_has_a_column(pairs_result: PairsResult, rows: Rows):
    other = dataclasses.replace(pairs_result, data_set="others", seed=8)
    block = render_pairs([pairs_result, other])
    assert (
        block.splitlines()[0] == "| Measure | things, `photos-cpu`, seed 7 | others, `photos-cpu`, seed 8 |"
    )
    lines = {line[0]: line[1:] for line in rows(block)}
    assert lines["**samples over real pairs**"] == ["**90.0%**"] * 2
    assert lines["**Samples nearer to a training image than 95% of test images**"] == ["**50.0%**"] * 2
    assert lines["than 95% of test images that stage 1 has encoded and decoded"] == ["–"] * 2
    assert lines["PSNR of test images after stage 1, dB"] == ["21.50"] * 2
    assert lines["Bits of a test pair's codes: image + caption"] == ["144.0: 128.0 + 16.0"] * 2


def test_where_no_real_caption_finds_its_image_there_is_no_share(pairs_result: PairsResult, rows: Rows):
    blind = without_ceiling(pairs_result)
    assert share_of_ceiling(blind) is None
    assert {line[0]: line[1] for line in rows(render_pairs([blind]))}["**samples over real pairs**"] == "–"


def test_goals_are_held_against_what_was_reached(pairs_result: PairsResult, rows: Rows):
    assert [line[2:] for line in rows(render_pairs_goals([pairs_result]))] == [
        ["≥ 80%", "90.0%", "hit"],
        ["≤ 5%", "50.0%", "**miss**"],
    ]
    assert rows(render_pairs_goals([without_ceiling(pairs_result)]))[0][3:] == ["–", "**miss**"]
