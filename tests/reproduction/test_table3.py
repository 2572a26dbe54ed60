import dataclasses
import json
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
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction.rows import TABLE3_ROWS
from mxqvae.reproduction.table3 import BASELINE, Table3Reproduction
from mxqvae.results import PairsUsed, Table3Result, read_result
from mxqvae.training.loop import TrainingConfig

FEW = TrainingConfig(num_steps=2, batch_size=8, num_warmup_steps=1, bf16=False)


@pytest.fixture(scope="module")
def data(mnist_sample: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned images, as `mxqvae data folder` builds them from parquet."""
    folder = tmp_path_factory.mktemp("table3")
    build_caption_mnist(CaptionMnistConfig(num_train=40, num_test=40), mnist_sample, folder / "source")
    config = CaptionedImagesConfig(test_share=0.5, pairing_note="of another digit")
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
    name: str, run: Table3Reproduction, data: Path, refuse_to_run: Callable[[Any], Any]
):
    steps = run.steps(name)
    assert not run.work.exists()
    run.folder.execute(steps)
    recipe = f"{BASELINE}-mirrored" if name == BASELINE else TABLE3_ROWS[name].recipe
    result = read_result(run.results / f"table3-digits-{recipe}-seed3.json")
    assert isinstance(result, Table3Result)
    assert (result.row, result.data_set, result.references) == (TABLE3_ROWS[name].label, "digits", "test")
    assert result.figures.samples.num_pairs == 12
    assert result.figures.ceiling.top_1 >= result.figures.floor.top_1 - 0.1
    assert result.recipe == recipe
    train, test = (PairDataset.from_parquet(data, split) for split in ("train", "test"))
    assert result.pairs == PairsUsed(
        num_training_images=len(train.images),
        num_training_captions=len(train),
        captioned_share=1.0,
        num_test_images=len(test.images),
        image_size=64,
        pairing_note="of another digit",
    )
    assert (run.results / f"table3-digits-{recipe}-seed3.png").exists()
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
    with pytest.raises(
        MxqvaeError, match=r"nowhere/manifest\.json is missing or damaged; build the data set"
    ):
        nowhere.steps("mxqvae")


def test_a_data_set_of_another_kind_is_named(run: Table3Reproduction, caption_mnist_small: Path):
    other = dataclasses.replace(run, data=caption_mnist_small)
    with pytest.raises(
        MxqvaeError, match=r"manifest\.json is of the kind 'caption-mnist'; take captioned images"
    ):
        other.steps("mxqvae")


def test_a_split_that_is_not_there_is_named_before_anything_is_trained(run: Table3Reproduction):
    with pytest.raises(MxqvaeError, match="no split 'tets'; it has train, test"):
        dataclasses.replace(run, reference_split="tets").steps("mxqvae")


@pytest.mark.parametrize(("references", "fewest"), [("test", 11), ("train", 2)])
def test_too_few_captions_are_named_before_anything_is_trained(
    run: Table3Reproduction, tmp_path: Path, references: str, fewest: int
):
    few = dataclasses.replace(run, data=tmp_path, reference_split=references)
    manifest = json.loads((run.data / "manifest.json").read_text())
    test = manifest["splits"]["test"]
    for num_captioned in (fewest, fewest - 1):
        test["num_images_without_caption"] = test["num_images"] - num_captioned
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        if num_captioned == fewest:
            assert few.steps("mxqvae")
    with pytest.raises(MxqvaeError, match=f": {fewest - 1} images of the split 'test' .* needs {fewest};"):
        few.steps("mxqvae")


def test_a_recipe_for_caption_mnist_is_refused(run: Table3Reproduction):
    with pytest.raises(MxqvaeError, match="recipe 'caption-mnist-cpu' is for Caption MNIST"):
        dataclasses.replace(run, recipe="caption-mnist-cpu").steps("mxqvae")


def test_the_baseline_mirrors_images_where_our_row_does(run: Table3Reproduction):
    mirrored, plain = (
        dataclasses.replace(run, recipe=recipe).steps(BASELINE) for recipe in ("photos-cpu", "pairs-cpu")
    )
    assert mirrored[0].settings == {**plain[0].settings, "horizontal_flip": True}
    # They lie side by side in one work folder.
    assert not {step.made for step in mirrored} & {step.made for step in plain}


def test_what_bounds_the_steps_belongs_to_the_settings(run: Table3Reproduction):
    for step in run.steps("mxqvae")[:2]:
        assert step.settings["max_epochs"] == 2_000


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-rf"])
def test_a_name_that_would_leave_the_folder_is_refused(run: Table3Reproduction, name: str):
    with pytest.raises(MxqvaeError, match="names files; use letters"):
        dataclasses.replace(run, data_set=name)


def test_two_recipes_have_two_results(run: Table3Reproduction, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(RECIPES, "pairs-cpu", RECIPES["photos-cpu"])
    made = {
        run.steps("mxqvae")[-1].made,
        dataclasses.replace(run, recipe="pairs-cpu").steps("mxqvae")[-1].made,
    }
    assert {path.name for path in made} == {
        f"table3-digits-{r}-seed3.json" for r in ("photos-cpu", "pairs-cpu")
    }


def test_an_unknown_row_is_named(run: Table3Reproduction):
    with pytest.raises(MxqvaeError, match="unknown row 'i-t'; choose from joint-gan-mmvae, mxqvae"):
        run.steps("i-t")
