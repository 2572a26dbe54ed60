import dataclasses
import json
from pathlib import Path

import pytest

from mxqvae import reproduce
from mxqvae.data.caption_mnist import CaptionMnistConfig
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.digit_classifier import DigitClassifierConfig
from mxqvae.evaluation.judge import JudgeConfig
from mxqvae.generation.sample_folder import read_sample_folder
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduce import TABLE2_ROWS, Row, Table2Run
from mxqvae.results import current_commit, read_result
from mxqvae.training.loop import TrainingConfig

STEPS = ["data", "judge", "autoencoder", "prior", "sampling", "scoring"]


@pytest.fixture
def run(
    tiny_recipe: Recipe, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Table2Run:
    """A row that takes seconds."""
    monkeypatch.setitem(RECIPES, "tiny", tiny_recipe)
    monkeypatch.setitem(TABLE2_ROWS, "tiny", Row("Tiny", "tiny"))
    training = TrainingConfig(num_steps=2, batch_size=8, num_warmup_steps=1, bf16=False)
    return Table2Run(
        row="tiny",
        work=tmp_path / "work",
        results=tmp_path / "results",
        mnist=mnist_folder,
        seed=3,
        data=CaptionMnistConfig(num_train=40, num_test=20),
        judge=JudgeConfig(classifier=DigitClassifierConfig(widths=(4, 4, 4)), training=training),
        num_samples=5,
    )


def test_a_row_runs_from_raw_digits_to_a_result(run: Table2Run, monkeypatch: pytest.MonkeyPatch):
    path = run.execute()
    result = read_result(path)
    assert path == run.results / "table2-tiny.json"
    assert (result.row, result.recipe, result.seed) == ("Tiny", "tiny", 3)
    assert result.figures.samples.num_pairs == 5
    assert result.figures.ceiling.num_pairs == result.figures.floor.num_pairs == 20
    assert result.figures.ceiling.slots.position == 1
    assert 0 <= result.figures.judge_accuracy <= 1
    assert len(read_sample_folder(run.work / "tiny-samples").captions) == 5
    assert json.loads((run.work / "data" / "manifest.json").read_text())["seed"] == 3
    costs = dataclasses.asdict(result.cost)
    assert list(costs) == STEPS
    records = [json.loads((run.work / name).read_text()) for name in ("steps.json", "tiny-steps.json")]
    assert [*records[0], *records[1]] == STEPS
    assert {record["commit"] for record in {**records[0], **records[1]}.values()} == {current_commit()}

    # Again: nothing but the score is made anew, and the cost of the rest is not forgotten.
    for step in ("_build_data", "_train_judge", "_train_autoencoder", "_train_prior", "_sample"):
        monkeypatch.setattr(Table2Run, step, pytest.fail)
    path.unlink()
    again = read_result(run.execute())
    assert again.figures == result.figures
    assert dataclasses.replace(again.cost, scoring=0) == dataclasses.replace(result.cost, scoring=0)


def test_a_run_goes_on_where_it_was_stopped(run: Table2Run, monkeypatch: pytest.MonkeyPatch):
    def stop(self: Table2Run) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table2Run, "_train_judge", stop)
        with pytest.raises(KeyboardInterrupt):
            run.execute()
    assert {path.name for path in run.work.iterdir()} == {"data", "steps.json"}
    assert not run.results.exists()
    record = json.loads((run.work / "steps.json").read_text())["data"]
    monkeypatch.setattr(Table2Run, "_build_data", pytest.fail)
    assert read_result(run.execute()).cost.data == record["seconds"]
    assert json.loads((run.work / "steps.json").read_text())["data"] == record


def test_the_paper_s_row_has_a_recipe():
    for row in TABLE2_ROWS.values():
        assert row.recipe in RECIPES
    assert reproduce.NUM_SAMPLES == 10_000


def test_an_unknown_row_is_named(run: Table2Run):
    with pytest.raises(MxqvaeError, match="unknown row 'coco'; choose from mxqvae, tiny"):
        _ = dataclasses.replace(run, row="coco").recipe


def test_steps_come_in_order(run: Table2Run):
    assert [step.name for step in run.steps()] == STEPS
    assert not run.work.exists()
