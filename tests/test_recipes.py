import pytest
import torch

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.sampling import check_sampling
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import RECIPES, find_recipe

LONGEST = (
    "The bottom left 1 is blue, the upper right 7 is white, the red 0 is on the bottom right, "
    "and the green 3 is on the upper left."
)


def tokenizer_of(name: str) -> CaptionTokenizer:
    return CaptionTokenizer.train([LONGEST], find_recipe(name).caption_length)


@pytest.mark.parametrize("name", RECIPES)
def test_both_stages_of_a_recipe_fit_each_other(name: str):
    recipe, tokenizer = find_recipe(name), tokenizer_of(name)
    config = recipe.autoencoder(tokenizer)
    with torch.device("meta"):
        generator = PairGenerator(tokenizer, MXQVAE(config), Prior(recipe.prior(config)))
    check_sampling(generator.prior, recipe.sampling, num=1, seed=0, first=0)


@pytest.mark.parametrize("name", RECIPES)
def test_both_stages_of_a_recipe_learn_from_pairs(name: str):
    recipe, tokenizer = find_recipe(name), tokenizer_of(name)
    config = recipe.autoencoder(tokenizer)
    model = MXQVAE(config)
    batch = PairBatch(torch.rand(2, 3, 64, 64), tokenizer.encode([LONGEST, LONGEST]))
    losses = model.loss(batch)
    losses.total.backward()
    assert losses.total.isfinite()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == learning

    indices = model.eval().encode(batch)
    assert model.decode(indices).images.shape == (2, 3, 64, 64)
    prior = Prior(recipe.prior(config))
    prior.loss(indices).total.backward()
    assert all(parameter.grad is not None for parameter in prior.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_for(name: str):
    recipe = find_recipe(name)
    assert recipe.description
    assert "\n" not in recipe.description
    assert recipe.num_processes >= 1


def test_the_paper_s_recipe_has_the_paper_s_sizes():
    recipe = find_recipe("caption-mnist-paper")
    config = recipe.autoencoder(tokenizer_of("caption-mnist-paper"))
    assert (config.caption_length, config.image.image_size, config.sequence_length) == (64, 64, 72)
    assert (config.quantizer.num_codes, config.quantizer.code_size) == (256, 128)
    prior = recipe.prior(config)
    assert (prior.num_codes, prior.sequence_length) == (256, 72)
    assert (prior.transformer.num_layers, prior.transformer.width) == (8, 512)
    assert (recipe.sampling.temperature, recipe.sampling.top_k, recipe.sampling.top_p) == (1.0, 10, 1.0)


def test_an_unknown_recipe_is_named():
    with pytest.raises(MxqvaeError) as refusal:
        find_recipe("flower")
    assert str(refusal.value) == f"unknown recipe 'flower'; choose from {', '.join(RECIPES)}"
