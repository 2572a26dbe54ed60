import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxqvae.baselines.latent_pairs import LatentPairsTraining
from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.detection import open_source
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.data.mnist import Mnist
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction.rows import TABLE3_ROWS
from mxqvae.reproduction.table3 import Table3Reproduction
from mxqvae.results import Table3Result, read_result
from mxqvae.training.loop import TrainingConfig

FEW = TrainingConfig(num_steps=2, batch_size=8, num_warmup_steps=1, bf16=False)


@pytest.fixture(scope="module")
def data(mnist_sample: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned images, as `mxqvae data folder` builds them from parquet."""
    folder = tmp_path_factory.mktemp("table3")
    build_caption_mnist(CaptionMnistConfig(num_train=40, num_test=40), mnist_sample, folder / "source")
    config = CaptionedImagesConfig(test_share=0.5)
    source = open_source(str(folder / "source"), AskedColumns())
    build_captioned_images(source, folder / "data", config, draw_sheet=contact_sheet)
    return folder / "data"


@pytest.fixture
def run(
    data: Path, tiny_recipe_of: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Table3Reproduction:
    """A reproduction of small models."""
    monkeypatch.setitem(RECIPES, "photos-cpu", tiny_recipe_of("photos-cpu"))
    return Table3Reproduction(
        work=tmp_path / "work",
        results=tmp_path / "results",
        data=data,
        data_set="digits",
        baseline=LatentPairsTraining(mmvae=FEW, joint_gan=FEW),
        num_samples=12,
        seed=3,
    )


@pytest.mark.parametrize("name", TABLE3_ROWS)
def test_every_row_trains_samples_and_scores(
    name: str, run: Table3Reproduction, refuse_to_run: Callable[[Any], Any]
):
    steps = run.steps(name)
    assert not run.work.exists()
    run.folder.execute(steps)
    result = read_result(run.results / f"table3-digits-{name}-seed3.json")
    assert isinstance(result, Table3Result)
    assert (result.row, result.data_set, result.references) == (TABLE3_ROWS[name].label, "digits", "test")
    assert result.figures.samples.num_pairs == 12
    assert result.figures.ceiling.top_1 >= result.figures.floor.top_1 - 0.1
    assert (run.results / f"table3-digits-{name}-seed3.png").exists()
    assert result.cost.scoring > 0
    run.folder.execute(refuse_to_run(run.steps(name)))


def test_another_data_set_is_not_taken_for_the_same(run: Table3Reproduction, data: Path, tmp_path: Path):
    first = run.steps("mxqvae")[0]
    run.folder.execute([first])
    other = tmp_path / "other"
    other.mkdir()
    manifest = (data / "manifest.json").read_text()
    (other / "manifest.json").write_text(manifest.replace('"seed": 0', '"seed": 1'))
    again = dataclasses.replace(run, data=other)
    with pytest.raises(MxqvaeError, match=r"other settings \(manifest "):
        again.folder.check(again.steps("mxqvae"))


def test_a_folder_without_a_manifest_is_named(run: Table3Reproduction, tmp_path: Path):
    nowhere = dataclasses.replace(run, data=tmp_path / "nowhere")
    with pytest.raises(MxqvaeError, match=r"nowhere/manifest\.json is missing; build the data set"):
        nowhere.steps("mxqvae")


def test_an_unknown_row_is_named(run: Table3Reproduction):
    with pytest.raises(MxqvaeError, match="unknown row 'i-t'; choose from joint-gan-mmvae, mxqvae"):
        run.steps("i-t")
