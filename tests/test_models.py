"""The folder `models` keeps its word: what it records counts as done, and loads."""

import json
import shutil
from pathlib import Path

import pytest

from mxqvae.generation.pipeline import PairGenerator, load_autoencoder, load_prior, load_tokenizer
from mxqvae.reproduction.rows import TABLE2_ROWS
from mxqvae.reproduction.table2 import Table2Reproduction

MODELS = Path(__file__).parents[1] / "models"
RECORDED = json.loads((MODELS / "steps.json").read_text())


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Table2Reproduction:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS, folder / "work")
    return Table2Reproduction(work=folder / "work", results=folder / "results")


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_done_by_the_recipes_as_they_stand(name: str, reproduction: Table2Reproduction):
    steps = {step.name: step for row in TABLE2_ROWS for step in reproduction.steps(row)}
    assert reproduction.folder.is_done(steps[name])
    folder, part = name.split("/")
    load = {"autoencoder": load_autoencoder, "prior": load_prior}[part]
    assert load(MODELS / folder / part).config is not None
    assert load_tokenizer(MODELS / folder).vocab_size > 4
    assert (MODELS / folder / part / "model.safetensors").stat().st_size < 15e6


@pytest.mark.parametrize("folder", sorted({name.partition("/")[0] for name in RECORDED}))
def test_a_row_is_there_with_both_stages_and_samples(folder: str, reproduction: Table2Reproduction):
    row = next(row for row, of_row in TABLE2_ROWS.items() if folder == f"{of_row.recipe}-seed0")
    stages = [step.name for step in reproduction.steps(row) if step.name.endswith(("/autoencoder", "/prior"))]
    assert set(stages) <= set(RECORDED)
    (pairs,) = PairGenerator.from_pretrained(MODELS / folder).sample(2, seed=0)
    assert len(pairs.captions) == 2
