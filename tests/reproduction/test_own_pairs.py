import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.data.batch import PairShape
from mxqvae.errors import MxqvaeError
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction.own_pairs import OwnPairsReproduction
from mxqvae.reproduction.table3 import Table3Reproduction
from mxqvae.results import PairsResult, read_result
from mxqvae.training.loop import TrainingConfig


@pytest.fixture
def run(
    coloured_photos: Path,
    tiny_recipe: Recipe,
    mean_colours: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> OwnPairsReproduction:
    """A reproduction with small models of images of 16 pixels."""

    def autoencoder(pairs: PairShape) -> AutoencoderConfig:
        image = ImageConfig(image_size=16, strides=(4, 2), widths=(4, 8), num_residual_blocks=1)
        return dataclasses.replace(tiny_recipe.autoencoder(pairs._replace(image_size=32)), image=image)

    monkeypatch.setitem(RECIPES, "photos-cpu", dataclasses.replace(tiny_recipe, autoencoder=autoencoder))
    return OwnPairsReproduction(
        work=tmp_path / "work",
        results=tmp_path / "results",
        data=coloured_photos,
        data_set="things",
        embedding=TrainingConfig(num_steps=2, batch_size=8, num_warmup_steps=1, bf16=False),
        num_samples=12,
        num_candidates=6,
        seed=3,
    )


def test_a_recipe_ends_in_its_result(run: OwnPairsReproduction, refuse_to_run: Callable[[Any], Any]):
    steps = run.steps("photos-cpu")
    assert not run.work.exists()
    run.folder.execute(steps)
    result = read_result(run.results / "pairs-things-photos-cpu-seed3.json")
    assert isinstance(result, PairsResult)
    figures = result.figures
    assert (result.data_set, result.recipe, result.pairs.num_test_images) == ("things", "photos-cpu", 20)
    assert (figures.retrieval.num_candidates, figures.retrieval.samples.num_pairs) == (6, 12)
    assert (figures.memorization.num_samples, figures.memorization.num_training) == (12, 30)
    assert figures.memorization.reconstructed is not None
    assert figures.image_quality.samples is not None
    assert (figures.image_quality.samples.num_images, figures.image_quality.num_images) == (12, 20)
    assert figures.likelihood.num_pairs == 20
    assert figures.likelihood.words is not None
    for cost in ("autoencoder", "prior", "judge", "sampling", "scoring"):
        assert getattr(result.cost, cost) > 0
    for name in ("pairs-things-photos-cpu-seed3.png", "pairs-things-photos-cpu-seed3-nearest.png"):
        assert (run.results / name).exists()
    run.folder.execute(refuse_to_run(run.steps("photos-cpu")))


def test_table_3_takes_the_same_samples(run: OwnPairsReproduction):
    table3 = Table3Reproduction(
        work=run.work, results=run.results, data=run.data, data_set="things", num_samples=12, seed=3
    )
    ours, theirs = (
        {step.name: step for step in other.steps(name)}
        for other, name in ((run, "photos-cpu"), (table3, "mxqvae"))
    )
    for name in ("photos-cpu-seed3/prior", "photos-cpu-seed3-samples"):
        assert (ours[name].settings, ours[name].made) == (theirs[name].settings, theirs[name].made)


def test_too_few_test_images_are_named_before_anything_is_trained(run: OwnPairsReproduction):
    choosing_from_more = dataclasses.replace(run, num_candidates=21)
    with pytest.raises(MxqvaeError, match=r": 20 images of the split 'test' have a caption, .* needs 21;"):
        choosing_from_more.steps("photos-cpu")


def test_a_recipe_for_caption_mnist_is_refused(run: OwnPairsReproduction):
    with pytest.raises(MxqvaeError, match="recipe 'caption-mnist-cpu' is for Caption MNIST"):
        run.steps("caption-mnist-cpu")


def test_a_data_set_without_test_images_is_named(run: OwnPairsReproduction, tmp_path: Path):
    manifest = (run.data / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('"test": {', '"validation": {'))
    with pytest.raises(MxqvaeError, match="no split 'test'; it has train, validation"):
        dataclasses.replace(run, data=tmp_path).steps("photos-cpu")


@pytest.mark.parametrize(("num_pairs", "minutes"), [(500, 80.0), (3_200, 20.0), (20_000, 80.0)])
def test_few_pairs_are_planned_with_few_steps(
    num_pairs: int, minutes: float, run: OwnPairsReproduction, monkeypatch: pytest.MonkeyPatch
):
    """Fewer than a thousand are seen 2,000 times, more 60 times, until all 6,000 steps are taken."""
    monkeypatch.setattr(OwnPairsReproduction, "num_pairs", num_pairs)
    assert run.prior_step("pairs-cpu").minutes == pytest.approx(minutes * (16 / 64) ** 2, abs=0.1)


def test_mirrored_pairs_are_planned_as_further_pairs(
    run: OwnPairsReproduction, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(OwnPairsReproduction, "num_pairs", 1_600)
    half = run.prior_step("pairs-cpu").minutes
    assert half is not None
    mirrored = dataclasses.replace(RECIPES["pairs-cpu"], horizontal_flip=True)
    monkeypatch.setitem(RECIPES, "pairs-cpu", mirrored)
    assert run.prior_step("pairs-cpu").minutes == pytest.approx(2 * half, abs=0.1)
