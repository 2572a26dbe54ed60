"""Recipes: named runs. Each holds the presets of both stages and how long they learn."""

from mxqvae.errors import MxqvaeError
from mxqvae.recipes.caption_mnist import CAPTION_MNIST_RECIPES
from mxqvae.recipes.own_pairs import OWN_PAIRS_RECIPES
from mxqvae.recipes.recipe import Recipe

RECIPES = CAPTION_MNIST_RECIPES | OWN_PAIRS_RECIPES


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        MxqvaeError: There is none; lists those there are.
    """
    if name not in RECIPES:
        raise MxqvaeError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]
