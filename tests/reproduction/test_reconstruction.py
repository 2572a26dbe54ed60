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
from mxqvae.reproduction.reconstruction import ReconstructionReproduction
from mxqvae.results import ReconstructionResult, read_result


@pytest.fixture
def reproduction(
    coloured_photos: Path,
    tiny_recipe: Recipe,
    mean_colours: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ReconstructionReproduction:
    """A reproduction with small models of images of 16 pixels."""

    def autoencoder(pairs: PairShape, weight: float) -> AutoencoderConfig:
        image = ImageConfig(image_size=16, strides=(4, 2), widths=(4, 8), num_residual_blocks=1)
        small = tiny_recipe.autoencoder(pairs._replace(image_size=32))
        return dataclasses.replace(small, image=image, perceptual_weight=weight)

    for name, weight in (("photos-cpu", 0.0), ("photos-cpu-perceptual", 0.2)):
        recipe = dataclasses.replace(
            tiny_recipe, autoencoder=lambda pairs, weight=weight: autoencoder(pairs, weight)
        )
        monkeypatch.setitem(RECIPES, name, recipe)
    return ReconstructionReproduction(
        work=tmp_path / "work",
        results=tmp_path / "results",
        data=coloured_photos,
        data_set="things",
        seed=3,
    )


@pytest.mark.parametrize(("name", "weight"), [("photos-cpu", 0.0), ("photos-cpu-perceptual", 0.2)])
def test_a_recipe_ends_in_its_result(
    reproduction: ReconstructionReproduction, name: str, weight: float, refuse_to_run: Callable[[Any], Any]
):
    reproduction.folder.execute(reproduction.steps(name))
    result = read_result(reproduction.results / f"reconstruction-things-{name}-seed3.json")
    assert isinstance(result, ReconstructionResult)
    assert (result.recipe, result.perceptual_weight, result.seed) == (name, weight, 3)
    assert (result.image_size, result.figures.num_images) == (16, 20)
    assert result.figures.feature_space == "mean colours"
    assert result.cost.autoencoder > 0
    assert result.cost.prior == 0
    reproduction.folder.execute(refuse_to_run(reproduction.steps(name)))


def test_an_unknown_recipe_is_named(reproduction: ReconstructionReproduction):
    with pytest.raises(MxqvaeError, match="unknown recipe 'mxqvae'; choose from"):
        reproduction.steps("mxqvae")


def test_a_data_set_without_test_images_is_named(reproduction: ReconstructionReproduction, tmp_path: Path):
    manifest = (reproduction.data / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('"test": {', '"validation": {'))
    other = dataclasses.replace(reproduction, data=tmp_path)
    with pytest.raises(MxqvaeError, match="no split 'test'; it has train, validation"):
        other.steps("photos-cpu")
