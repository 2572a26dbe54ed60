"""Recipes: named runs. Each holds the presets of both stages and how long they learn."""

from dataclasses import replace
from pathlib import Path

from mxqvae.data.caption_mnist import Manifest
from mxqvae.data.manifest_file import read_manifest
from mxqvae.errors import MxqvaeError
from mxqvae.recipes.caption_mnist import CAPTION_MNIST_RECIPES
from mxqvae.recipes.own_pairs import OWN_PAIRS_RECIPES
from mxqvae.recipes.recipe import Recipe

RECIPES = {
    name: replace(recipe, name=name) for name, recipe in (CAPTION_MNIST_RECIPES | OWN_PAIRS_RECIPES).items()
}
CAPTION_MNIST_DEFAULT = "caption-mnist-cpu"
OWN_PAIRS_DEFAULT = "pairs-cpu"


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        MxqvaeError: There is none; lists those there are.
    """
    if name not in RECIPES:
        raise MxqvaeError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]


def fitting_recipe(data: Path, name: str | None = None) -> str:
    """The name of a recipe for the data set in folder `data`: `name`, or without one the default.

    What a data set is stands in its manifest; one without a manifest is taken for own pairs.

    Raises:
        MxqvaeError: There is no recipe of this name, or it is for another kind of data set.
    """
    is_caption_mnist = _is_caption_mnist(data)
    if name is None:
        return CAPTION_MNIST_DEFAULT if is_caption_mnist else OWN_PAIRS_DEFAULT
    if is_caption_mnist not in (None, find_recipe(name).for_caption_mnist):
        purpose, content = (
            ("own pairs", "Caption MNIST") if is_caption_mnist else ("Caption MNIST", "own pairs")
        )
        fitting = CAPTION_MNIST_RECIPES if is_caption_mnist else OWN_PAIRS_RECIPES
        raise MxqvaeError(
            f"recipe {name!r} is for {purpose}, and {data} holds {content}; choose from {', '.join(fitting)}"
        )
    return name


def _is_caption_mnist(data: Path) -> bool | None:
    """Whether the data set is Caption MNIST or made from it; None where it does not say what it is."""
    manifest = read_manifest(data)
    while isinstance(manifest, dict) and "source" in manifest:  # a corrupted or filtered copy
        manifest = manifest["source"]
    return manifest.get("name") == Manifest.name if isinstance(manifest, dict) else None
