import dataclasses
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.config import to_tree
from mxqvae.data import caption_mnist, degree
from mxqvae.data.batch import PairShape
from mxqvae.errors import MxqvaeError
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.report import table1, table2
from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS, TABLE1_ROWS, TABLE2_ROWS
from mxqvae.reproduction.table1 import Table1Reproduction
from mxqvae.reproduction.table2 import Table2Reproduction
from mxqvae.training.checkpoint import CHECKPOINT_FILE


def test_every_row_of_the_paper_has_a_recipe():
    assert [row.label for row in TABLE1_ROWS.values()] == list(table1.POSTER)
    assert [row.label for row in TABLE2_ROWS.values()] == list(table2.POSTER)
    rows = [*TABLE1_ROWS.values(), *TABLE1_EXTRA_ROWS.values(), *TABLE2_ROWS.values()]
    assert all(row.recipe in RECIPES for row in rows)


@pytest.mark.parametrize("row", ["t-i", "i-t-emb", "t-emb-i"])
def test_baselines_share_one_trained_stage_1(row: str, small_run: dict):
    run = Table2Reproduction(**small_run)
    trained, arranged = (step for step in run.steps(row) if step.cost == "autoencoder")
    assert trained.name == "caption-mnist-cpu-i-t-seed3/autoencoder"
    (own,) = (step for step in run.steps("i-t") if step.cost == "autoencoder")
    assert trained.settings == own.settings
    assert arranged.made.parent.parent.name == f"caption-mnist-cpu-{row}-seed3"
    assert arranged.minutes is not None
    assert arranged.minutes < 1


def test_a_training_that_was_stopped_counts_what_is_left(
    tiny_rows: None, small_run: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(RECIPES["tiny"], minutes=(10.0, 20.0)))
    run = Table2Reproduction(**small_run)

    def minutes() -> list[float | None]:
        return [step.minutes for step in run.steps("tiny") if step.cost in ("autoencoder", "prior")]

    assert minutes() == [10.0, 20.0]
    for stage, step in (("autoencoder", "4"), ("prior", "1")):  # of 4 each
        folder = run.model_folder("tiny") / "runs" / stage
        folder.mkdir(parents=True)
        save_file({"weight": torch.zeros(1)}, folder / CHECKPOINT_FILE, metadata={"step": step})
    assert minutes() == [0.0, 15.0]


def test_records_of_the_first_versions_need_not_name_them(small_run: dict):
    run = Table1Reproduction(**small_run)
    config = to_tree(run.data)
    assert config == {"num_train": 40, "num_test": 20, "seed": 0}
    data, degree_sets, *_ = run.steps("mxqvae")
    assert data.settings == degree_sets.settings == {"data": config}


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        (caption_mnist, ["data", "degree", "autoencoder", "table1"]),
        (degree, ["degree", "table1"]),
    ],
)
def test_what_another_version_built_is_not_taken_for_the_same(
    module: ModuleType, changed: list[str], small_run: dict, monkeypatch: pytest.MonkeyPatch
):
    run = Table1Reproduction(**small_run)
    before = {step.name: step.settings for step in run.steps("mxqvae")}
    monkeypatch.setattr(module, "VERSION", 2)
    steps = [step for step in run.steps("mxqvae") if step.settings != before[step.name]]
    assert [step.name.rpartition("/")[2] for step in steps] == changed


def test_stage_2_s_data_name_their_version_too(small_run: dict, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(caption_mnist, "VERSION", 2)
    settings = Table2Reproduction(**small_run).prior_data_settings
    assert settings == {"prior_data": {"num_train": 60, "num_test": 20, "seed": 0, "version": 2}}


def test_a_model_of_another_size_is_not_taken_for_the_same(
    tiny_rows: None, tiny_recipe: Recipe, small_run: dict, monkeypatch: pytest.MonkeyPatch
):
    run = Table1Reproduction(**small_run)
    run.folder.execute(run.steps("tiny"))

    def larger(pairs: PairShape) -> AutoencoderConfig:
        return dataclasses.replace(tiny_recipe.autoencoder(pairs), identity_mixing=True)

    changed = dataclasses.replace(RECIPES["tiny"], autoencoder=larger)
    monkeypatch.setitem(RECIPES, "tiny", changed)
    with pytest.raises(MxqvaeError, match=r"other settings \(model.identity_mixing False, now True\)"):
        run.folder.check(run.steps("tiny"))
