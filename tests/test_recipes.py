import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mxqvae.autoencoder.code_layout import Segment, possible_codes
from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig, arrange
from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.batch import PairBatch, PairShape
from mxqvae.data.masking import MaskingConfig
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import score_consistency
from mxqvae.evaluation.judge import Judge
from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator, load_generation
from mxqvae.prior.sampling import check_sampling
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import RECIPES, Recipe, find_recipe, fitting_recipe
from mxqvae.recipes.caption_mnist import CAPTION_MNIST_RECIPES
from mxqvae.recipes.own_pairs import OWN_PAIRS_RECIPES
from mxqvae.stages import train_autoencoder, train_prior

LONGEST = (
    "The bottom left 1 is blue, the upper right 7 is white, the red 0 is on the bottom right, "
    "and the green 3 is on the upper left."
)


def tokenizer_of(name: str) -> CaptionTokenizer:
    return CaptionTokenizer.train([LONGEST], find_recipe(name).caption_length or 40)


def shape_of(tokenizer: CaptionTokenizer, image_size: int = 64) -> PairShape:
    return PairShape(tokenizer.vocab_size, tokenizer.max_length, image_size)


@pytest.mark.parametrize("name", RECIPES)
def test_both_stages_of_a_recipe_fit_each_other(name: str):
    recipe, tokenizer = find_recipe(name), tokenizer_of(name)
    config = recipe.autoencoder(shape_of(tokenizer))
    with torch.device("meta"):
        generator = PairGenerator(tokenizer, build_autoencoder(config), Prior(recipe.prior(config)))
    check_sampling(generator.prior, recipe.generation.sampling, num=1, seed=0, first=0)


@pytest.mark.parametrize("name", RECIPES)
def test_both_stages_of_a_recipe_learn_from_pairs(name: str):
    recipe, tokenizer = find_recipe(name), tokenizer_of(name)
    config = recipe.autoencoder(shape_of(tokenizer))
    model = build_autoencoder(config)
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
def test_a_recipe_trains_samples_and_scores(
    name: str, tiny_recipe_of: Callable[[str], Recipe], caption_mnist_small: Path, tmp_path: Path
):
    recipe = tiny_recipe_of(name)
    train_autoencoder(recipe, caption_mnist_small, tmp_path)
    train_prior(recipe, caption_mnist_small, tmp_path)
    generator = PairGenerator.from_pretrained(tmp_path)
    assert generator.generation == recipe.generation
    (pairs,) = generator.sample(20)
    score = score_consistency(torch.from_numpy(pairs.images), pairs.captions, Judge.from_pretrained())
    assert score.num_pairs == 20
    segments = generator.autoencoder.config.segments
    if segments and recipe.generation.num_refinements == 0:
        possible = possible_codes(segments).expand(20, -1, -1)
        assert possible.gather(2, pairs.indices[..., None]).all()


@pytest.mark.parametrize("name", RECIPES)
def test_what_can_complete_pairs_can_learn_to_read(name: str):
    recipe = find_recipe(name)
    autoencoder = recipe.autoencoder(PairShape(31, 40, 64))
    prior = recipe.prior(autoencoder)
    completes = isinstance(autoencoder, MXQVAEConfig) and prior.caption_first is not None
    assert (recipe.reader is not None) == completes
    if recipe.reader is not None:
        reader = recipe.reader.config(autoencoder, prior)
        assert (reader.vocab_size, reader.caption_length, reader.prior) == (31, 40, prior.transformer)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_for(name: str):
    recipe = find_recipe(name)
    assert (recipe.name, bool(recipe.description)) == (name, True)
    assert "\n" not in recipe.description
    assert recipe.num_processes >= 1


def test_the_paper_s_recipe_has_the_paper_s_sizes():
    recipe = find_recipe("caption-mnist-paper")
    config = recipe.autoencoder(shape_of(tokenizer_of("caption-mnist-paper")))
    assert isinstance(config, MXQVAEConfig)
    assert (config.caption_length, config.image.image_size, config.sequence_length) == (64, 64, 72)
    assert (config.quantizer.num_codes, config.quantizer.code_size) == (256, 128)
    prior = recipe.prior(config)
    assert (prior.num_codes, prior.sequence_length) == (256, 72)
    assert (prior.transformer.num_layers, prior.transformer.width) == (8, 512)
    assert (
        recipe.generation.sampling.temperature,
        recipe.generation.sampling.top_k,
        recipe.generation.sampling.top_p,
    ) == (1.0, 10, 1.0)


OURS = "caption-mnist-cpu"
WITHOUT_TC, WITHOUT_IM = {"joint": None, "joint_positions": False}, {"masking": None}
MASKS_ONLY = {"masking": MaskingConfig(patch_share=0.3, word_share=0.3, random_word_share=0.0)}


GRID = {"without-tc": WITHOUT_TC, "without-im": WITHOUT_IM, "only-sharing-c": WITHOUT_TC | WITHOUT_IM}
BESIDE = {"masks-only": MASKS_ONLY, "without-tc-masks-only": WITHOUT_TC | MASKS_ONLY}


@pytest.mark.parametrize(
    ("name", "row", "difference"),
    [
        *((name, *row) for name in (OURS, "pairs-cpu", "photos-cpu") for row in GRID.items()),
        *((OURS, *row) for row in BESIDE.items()),
    ],
)
def test_the_rows_of_table_1_differ_in_their_switches_alone(name: str, row: str, difference: dict[str, Any]):
    ours, other = find_recipe(name), find_recipe(f"{name}-{row}")
    tokenizer = tokenizer_of(name)
    assert other.autoencoder(shape_of(tokenizer)) == dataclasses.replace(
        ours.autoencoder(shape_of(tokenizer)), **difference
    )
    named = {
        "name": ours.name,
        "description": ours.description,
        "autoencoder": ours.autoencoder,
        "minutes": ours.minutes,
    }
    assert dataclasses.replace(other, **named) == ours


BASELINES = {
    "i-t": (("image", 64, 2_048), ("text", 8, 2_048)),
    "t-i": (("text", 8, 2_048), ("image", 64, 2_048)),
    "i-t-emb": (("image", 64, 2_048), ("text", 40, None)),
    "t-emb-i": (("text", 40, None), ("image", 64, 2_048)),
}


@pytest.mark.parametrize("row", BASELINES)
def test_the_baselines_of_table_2_differ_in_their_codes_alone(row: str):
    ours, other = find_recipe(OURS), find_recipe(f"{OURS}-{row}")
    tokenizer = tokenizer_of(OURS)
    joint, config = ours.autoencoder(shape_of(tokenizer)), other.autoencoder(shape_of(tokenizer))
    assert isinstance(joint, MXQVAEConfig)
    assert isinstance(config, ConcatenatedConfig)
    expected = [
        Segment(modality=modality, length=length, num_codes=num_codes or tokenizer.vocab_size)
        for modality, length, num_codes in BASELINES[row]
    ]
    assert list(config.segments) == expected
    assert (config.image.image, config.image.quantizer) == (joint.image, joint.quantizer)
    assert ours.prior(joint).transformer == other.prior(config).transformer
    assert other.prior(config).caption_first is None
    same = ("num_processes", "caption_length", "autoencoder_training", "prior_training")
    assert all(getattr(ours, name) == getattr(other, name) for name in same)
    assert other.generation == dataclasses.replace(ours.generation.without_redraws(), num_refinements=0)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].autoencoder_from])
def test_a_recipe_finds_its_parts_in_the_one_it_names(name: str):
    recipe, tokenizer = find_recipe(name), tokenizer_of(name)
    assert recipe.autoencoder_from is not None
    trained = build_autoencoder(find_recipe(recipe.autoencoder_from).autoencoder(shape_of(tokenizer)))
    config = recipe.autoencoder(shape_of(tokenizer))
    assert isinstance(trained, ConcatenatedAutoencoder)
    assert isinstance(config, ConcatenatedConfig)
    assert arrange(trained, config).config == config


OWN_PAIRS = pytest.mark.parametrize("name", OWN_PAIRS_RECIPES)


@OWN_PAIRS
@pytest.mark.parametrize("caption_length", [8, 16, 24, 40, 80])
@pytest.mark.parametrize("image_size", [64, 128])
def test_recipes_for_own_pairs_take_every_length_and_both_sizes(
    name: str, caption_length: int, image_size: int
):
    config = find_recipe(name).autoencoder(PairShape(500, caption_length, image_size))
    assert isinstance(config, MXQVAEConfig)
    assert config.num_image_codes == (image_size // 8) ** 2
    assert config.text.num_latents in (caption_length // 2, min(20, caption_length - 4))
    with torch.device("meta"):
        Prior(find_recipe(name).prior(config))


def test_few_pairs_are_not_seen_without_end():
    """The steps of Caption MNIST's recipes are those of the tables."""
    assert {recipe.max_epochs for recipe in OWN_PAIRS_RECIPES.values()} == {2_000}
    assert {recipe.max_epochs for recipe in CAPTION_MNIST_RECIPES.values()} == {None}


def test_own_pairs_are_held_out_and_those_of_the_tables_are_not():
    assert {(r.held_out_share, r.max_epochs_of_codes) for r in OWN_PAIRS_RECIPES.values()} == {(0.05, 60)}
    assert {(r.held_out_share, r.max_epochs_of_codes) for r in CAPTION_MNIST_RECIPES.values()} == {
        (0.0, None)
    }


@pytest.mark.parametrize("name", ["pairs-cpu", "photos-cpu"])
def test_a_recipe_for_an_auditor_differs_by_captions_that_lie(name: str):
    pairs = PairShape(500, 40, 64)
    plain, auditor = find_recipe(name), find_recipe(f"{name}-audit")
    config = auditor.autoencoder(pairs)
    assert isinstance(config, MXQVAEConfig)
    assert config.masking is not None
    assert config.masking.random_word_share == 0.5
    assert dataclasses.replace(config, masking=MaskingConfig()) == plain.autoencoder(pairs)
    as_plain = dataclasses.replace(
        auditor, autoencoder=plain.autoencoder, name=plain.name, description=plain.description
    )
    assert as_plain == plain


def test_captions_that_no_short_runs_divide_are_refused():
    with pytest.raises(MxqvaeError, match=r"captions of 37 tokens cannot be cut .* even --max-length"):
        find_recipe("pairs-cpu").autoencoder(PairShape(500, 37, 64))


@pytest.mark.parametrize("name", RECIPES)
def test_images_of_no_whole_cells_are_refused(name: str):
    with pytest.raises(MxqvaeError, match=r"images of 60 x 60 pixels; .* --image-size 64"):
        find_recipe(name).autoencoder(PairShape(500, 40, 60))


def test_captions_that_do_not_fit_a_recipe_are_refused_in_one_line():
    with pytest.raises(MxqvaeError) as refusal:
        find_recipe(OURS).autoencoder_for(PairShape(500, 20, 64))
    assert str(refusal.value) == (
        "captions of 20 words cannot be divided among 8 latents; build the data set with another "
        "--max-length, or take another recipe, say pairs-cpu"
    )


def test_the_paper_s_convolutions_take_odd_lengths():
    for length in range(8, 90):
        find_recipe("photos-paper").autoencoder(PairShape(500, length, 64))


def test_the_shipped_weights_are_drawn_from_as_their_recipe_says():
    assert load_generation(SHIPPED_WEIGHTS) == find_recipe(OURS).generation


def test_the_paper_s_sizes_at_128_pixels():
    recipe = find_recipe("photos-paper")
    config = recipe.autoencoder(PairShape(5000, 80, 128))
    assert (config.sequence_length, config.num_codes) == (256 + 20, 256)


def test_an_unknown_recipe_is_named():
    with pytest.raises(MxqvaeError) as refusal:
        find_recipe("flower")
    assert str(refusal.value) == f"unknown recipe 'flower'; choose from {', '.join(RECIPES)}"


class TestFitting:
    """Which recipe goes with which data set."""

    @pytest.fixture
    def edited(self, tmp_path: Path) -> Callable[[Path], Path]:
        """The folder of a manifest that names another data set as its source."""

        def edit(source: Path) -> Path:
            manifest = {"name": "filtered", "source": json.loads((source / "manifest.json").read_text())}
            (tmp_path / "manifest.json").write_text(json.dumps(manifest))
            return tmp_path

        return edit

    def test_the_default_follows_the_data(
        self, caption_mnist_small: Path, coloured_photos: Path, edited: Callable[[Path], Path]
    ):
        assert fitting_recipe(caption_mnist_small) == fitting_recipe(edited(caption_mnist_small)) == OURS
        assert fitting_recipe(coloured_photos) == fitting_recipe(edited(coloured_photos)) == "pairs-cpu"

    def test_pairs_that_do_not_say_what_they_are_are_own_pairs(self, tmp_path: Path):
        assert fitting_recipe(tmp_path) == "pairs-cpu"
        assert fitting_recipe(tmp_path, OURS) == OURS
        (tmp_path / "manifest.json").write_text('{"name": "filtered", "source": null}')
        assert fitting_recipe(tmp_path, OURS) == OURS

    def test_every_recipe_is_for_one_of_the_two(self, caption_mnist_small: Path, coloured_photos: Path):
        for data, recipes, others in (
            (caption_mnist_small, CAPTION_MNIST_RECIPES, OWN_PAIRS_RECIPES),
            (coloured_photos, OWN_PAIRS_RECIPES, CAPTION_MNIST_RECIPES),
        ):
            assert [fitting_recipe(data, name) for name in recipes] == list(recipes)
            for name in others:
                with pytest.raises(MxqvaeError) as refusal:
                    fitting_recipe(data, name)
                assert str(refusal.value).startswith(f"recipe {name!r} is for ")
                assert str(refusal.value).endswith(f"; choose from {', '.join(recipes)}")

    def test_an_unknown_one_is_named(self, coloured_photos: Path):
        with pytest.raises(MxqvaeError, match="unknown recipe 'flower'"):
            fitting_recipe(coloured_photos, "flower")
