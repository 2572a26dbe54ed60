import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.batch import PairBatch, PairShape
from mxqvae.data.colour_words import find_colour_words
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import hidden_words
from mxqvae.evaluation.hidden_words import measure_hidden_words
from mxqvae.generation import parallel
from mxqvae.generation.completion import CompletionConfig, Completions
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import Recipe

LITTLE = CompletionConfig(num_captions=2, num_attempts=1, num_rounds=1)


@pytest.fixture(scope="module")
def shipped() -> PairGenerator:
    return PairGenerator.from_pretrained()


def model_of_photos(tiny_recipe: Recipe, tokenizer: CaptionTokenizer) -> PairGenerator:
    """A model of captioned images of 16 pixels that has learned nothing."""
    config = tiny_recipe.autoencoder(PairShape(tokenizer.vocab_size, tokenizer.max_length, 64))
    assert isinstance(config, MXQVAEConfig)
    image = ImageConfig(image_size=16, strides=(4, 2), widths=(4, 8), num_residual_blocks=1)
    config = dataclasses.replace(config, image=image)
    return PairGenerator(tokenizer, build_autoencoder(config), Prior(tiny_recipe.prior(config)))


def answer_with(monkeypatch: pytest.MonkeyPatch, captions: Sequence[str]) -> list[PairBatch]:
    """Let completion answer with `captions`, one after the other; returns what it is asked."""
    asked: list[PairBatch] = []
    left = iter(captions)

    def complete(_, batch: PairBatch, **options) -> Iterator[Completions]:
        asked.append(batch)
        for row in range(len(batch.images)):
            pair = PairBatch(*(part[row][None] for part in batch))
            yield Completions(pair, [next(left)], torch.zeros(1), [0])

    monkeypatch.setattr(parallel, "complete", complete)
    return asked


def right_captions(folder: Path) -> list[str]:
    return [
        caption
        for kind in kinds_in(folder)
        for caption in read_degree_set(folder, kind, degrees_of(kind)[0]).captions
    ]


def test_the_shipped_weights_find_digits_and_colours_in_the_image_alone(
    shipped: PairGenerator, degree_sets_small: Path
):
    found = measure_hidden_words(shipped, degree_sets_small, num=6, config=LITTLE)
    assert list(found) == ["Quad1", "Quad2", "Quad3", "Quad4"]
    assert [one.num_pairs for one in found.values()] == [6] * 4
    for share, least, most in (("completed", 21, 24), ("read", 18, 24), ("read_without_image", 0, 6)):
        assert least <= sum(6 * getattr(one, share).rate for one in found.values()) <= most
    assert all(1 / 6 <= one.commonest <= 0.5 for one in found.values())
    again = measure_hidden_words(shipped, degree_sets_small, num=6, config=LITTLE, num_processes=2)
    assert again == found


def test_what_is_hidden_are_the_words_of_one_slot(
    shipped: PairGenerator, degree_sets_small: Path, monkeypatch: pytest.MonkeyPatch
):
    captions = right_captions(degree_sets_small)
    asked = answer_with(monkeypatch, captions)
    found = measure_hidden_words(shipped, degree_sets_small, num=99)
    assert {one.completed.rate for one in found.values()} == {1.0}
    given = iter(captions)
    for batch in asked:
        assert not batch.images.isnan().any()
        for token_ids in batch.token_ids:
            whole = shipped.tokenizer.encode([next(given)])[0]
            is_hidden = token_ids == CaptionTokenizer.mask_id
            assert token_ids[~is_hidden].equal(whole[~is_hidden])
            digit, colour = sorted(
                shipped.tokenizer.decode(whole[is_hidden][None])[0].lower().split(), key=len
            )
            assert digit.isdigit()
            assert colour in {"red", "green", "blue", "white"}


def test_only_the_hidden_words_count(
    shipped: PairGenerator, degree_sets_small: Path, monkeypatch: pytest.MonkeyPatch
):
    lies = [
        caption
        for kind in kinds_in(degree_sets_small)
        for caption in read_degree_set(degree_sets_small, kind, degrees_of(kind)[1]).captions
    ]
    answer_with(monkeypatch, lies)
    found = measure_hidden_words(shipped, degree_sets_small, num=99)
    # One slot of each lies: the only one of Quad1, one in four of Quad4.
    rates = [one.completed.rate for one in found.values()]
    assert rates[0] == 0
    assert rates == sorted(rates)
    assert 0.5 < rates[-1] < 1


def test_colours_of_photos_are_hidden(
    tiny_recipe: Recipe, coloured_photos: Path, colour_degree_sets: Path, monkeypatch: pytest.MonkeyPatch
):
    of_photos = model_of_photos(tiny_recipe, CaptionTokenizer.load(coloured_photos / "tokenizer.json"))
    captions = right_captions(colour_degree_sets)
    asked = answer_with(monkeypatch, captions)
    found = measure_hidden_words(of_photos, colour_degree_sets, num=99)
    assert list(found) == kinds_in(colour_degree_sets)
    assert {one.completed.rate for one in found.values()} == {1.0}
    given = iter(captions)
    for batch in asked:
        for token_ids in batch.token_ids:
            whole = of_photos.tokenizer.encode([next(given)])[0]
            hidden = of_photos.tokenizer.decode(whole[token_ids == CaptionTokenizer.mask_id][None])[0]
            assert len(find_colour_words(hidden)) == 1


def test_captions_that_are_cut_before_the_slot_are_left_out(
    tiny_recipe: Recipe, colour_degree_sets: Path, monkeypatch: pytest.MonkeyPatch
):
    short = CaptionTokenizer.train_subwords(right_captions(colour_degree_sets), vocab_size=400, max_length=5)
    generator = model_of_photos(tiny_recipe, short)
    asked = answer_with(monkeypatch, right_captions(colour_degree_sets))
    found = measure_hidden_words(generator, colour_degree_sets, num=99)
    num_asked = [len(batch.token_ids) for batch in asked]
    assert num_asked == [one.num_pairs for one in found.values()]
    assert 0 < sum(num_asked) < len(right_captions(colour_degree_sets))
    for batch in asked:
        assert (batch.token_ids == CaptionTokenizer.mask_id).any(1).all()

    monkeypatch.setattr(hidden_words, "_hide_slots", lambda *arguments: [])
    with pytest.raises(MxqvaeError, match="the model cuts all captions before a digit or colour"):
        measure_hidden_words(generator, colour_degree_sets, num=99)


def test_a_folder_without_degree_sets_is_named(shipped: PairGenerator, caption_mnist_small: Path):
    with pytest.raises(MxqvaeError, match="no Degree sets in it"):
        measure_hidden_words(shipped, caption_mnist_small, num=2)
