import dataclasses
import math

import pytest
import torch

from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch, PairShape, to_floats
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.completion import (
    CompletionConfig,
    Completions,
    _Misfit,
    _Search,
    check_completion,
    complete,
)
from mxqvae.generation.known_part import known_part
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.guidance import GuidedSequences
from mxqvae.prior.transformer import Prior

SMALL = CompletionConfig(num_captions=4, num_images=3, num_rounds=2)

ONE_ROUND = dataclasses.replace(SMALL, num_rounds=1)
"""An untrained stage 1 makes all images alike when it reads them again."""


@pytest.fixture
def real_pair(caption_mnist_small, tiny_generator: PairGenerator) -> PairBatch:
    """The first test pair."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    return PairBatch(to_floats(pairs.images[:1]), tiny_generator.tokenizer.encode(pairs.captions[:1]))


def only_image(pair: PairBatch) -> PairBatch:
    return PairBatch(pair.images, torch.full_like(pair.token_ids, CaptionTokenizer.mask_id))


def only_caption(pair: PairBatch) -> PairBatch:
    return PairBatch(torch.full_like(pair.images, torch.nan), pair.token_ids)


def half_of_both(pair: PairBatch) -> PairBatch:
    images, token_ids = pair.images.clone(), pair.token_ids.clone()
    images[:, :, 13:50, 7:40] = torch.nan  # cuts through patches
    token_ids[:, 1:4] = CaptionTokenizer.mask_id
    return PairBatch(images, token_ids)


def words_of_no_image(pair: PairBatch) -> PairBatch:
    return PairBatch(torch.full_like(pair.images, torch.nan), half_of_both(pair).token_ids)


WAYS = [only_image, only_caption, half_of_both, words_of_no_image]


def answers(
    generator: PairGenerator, pairs: PairBatch, num: int = 2, seed: int = 3, config: CompletionConfig = SMALL
) -> list[Completions]:
    return list(complete(generator, pairs, num_answers=num, seed=seed, config=config))


def join(*batches: PairBatch) -> PairBatch:
    return PairBatch(*(torch.cat(halves) for halves in zip(*batches, strict=True)))


@pytest.mark.parametrize("hide", WAYS)
class TestAnswers:
    def test_are_whole_and_keep_what_is_given(self, tiny_generator: PairGenerator, real_pair, hide):
        given = hide(real_pair)
        (found,) = answers(tiny_generator, given)
        known = ~given.images[0].isnan()
        words = given.token_ids[0] != CaptionTokenizer.mask_id
        for image, token_ids in zip(*found.pairs, strict=True):
            assert image[known].equal(given.images[0][known])
            assert token_ids[words].equal(given.token_ids[0][words])
            assert ((image >= 0) & (image <= 1)).all()
            assert (token_ids != CaptionTokenizer.mask_id).all()

    def test_of_a_given_length_have_words_in_every_place(self, tiny_generator, real_pair, hide):
        if hide is only_image:
            return
        (found,) = answers(tiny_generator, hide(real_pair))
        length = int((real_pair.token_ids > CaptionTokenizer.end_id).sum())
        assert (found.pairs.token_ids[:, :length] > CaptionTokenizer.end_id).all()

    def test_come_likeliest_first(self, tiny_generator: PairGenerator, real_pair, hide):
        (found,) = answers(tiny_generator, hide(real_pair), num=3)
        assert found.bits.equal(found.bits.sort().values)
        assert sorted(found.numbers) == [0, 1, 2]
        assert found.captions == tiny_generator.tokenizer.decode(found.pairs.token_ids)
        codes = tiny_generator.autoencoder.encode(found.pairs)
        log_shares = tiny_generator.prior.logits(codes).double().log_softmax(-1)
        nats = -log_shares.gather(-1, codes[..., None])[..., 0].sum(1)
        autoencoder = tiny_generator.autoencoder
        assert isinstance(autoencoder, MXQVAE)
        log_shares = autoencoder.decode_captions(autoencoder.quantizer.lookup(codes)).double().log_softmax(-1)
        words = -log_shares.gather(-1, found.pairs.token_ids[..., None])[..., 0]
        nats = nats + words.masked_fill(found.pairs.token_ids == CaptionTokenizer.pad_id, 0).sum(1)
        torch.testing.assert_close(found.bits, nats.detach() / math.log(2), rtol=1e-5, atol=1e-4)

    def test_do_not_depend_on_other_pairs_or_answers(self, tiny_generator, real_pair, hide):
        given = hide(real_pair)
        (one,) = answers(tiny_generator, given, num=1)
        *_, last = answers(tiny_generator, join(only_image(real_pair), given), num=3)
        place = last.numbers.index(0)
        assert last.pairs.images[place].equal(one.pairs.images[0])
        assert last.pairs.token_ids[place].equal(one.pairs.token_ids[0])
        assert last.bits[place] == one.bits[0]


def test_without_a_reader_the_rest_is_found(tiny_generator: PairGenerator, real_pair: PairBatch):
    tiny_generator.reader = None
    (found,) = answers(tiny_generator, half_of_both(real_pair))
    assert len(found.captions) == 2


@pytest.mark.parametrize("hide", [only_caption, half_of_both, words_of_no_image])
def test_what_is_drawn_follows_what_is_read(tiny_generator: PairGenerator, real_pair: PairBatch, hide):
    assert tiny_generator.reader is not None
    given = hide(real_pair)
    (before,) = answers(tiny_generator, given, config=ONE_ROUND)
    for parameter in tiny_generator.reader.parameters():
        torch.nn.init.normal_(parameter)
    (after,) = answers(tiny_generator, given, config=ONE_ROUND)
    assert not before.pairs.images.equal(after.pairs.images)


def test_without_words_nothing_is_read(tiny_generator: PairGenerator, real_pair: PairBatch):
    given = PairBatch(half_of_both(real_pair).images, only_image(real_pair).token_ids)
    (with_reader,) = answers(tiny_generator, given)
    tiny_generator.reader = None
    (without,) = answers(tiny_generator, given)
    assert with_reader.pairs.images.equal(without.pairs.images)


@pytest.mark.parametrize(("max_word_bits", "num_attempts"), [(None, 1), (1e3, 1), (1e-9, 3)])
def test_more_images_are_drawn_while_a_word_is_doubted(
    tiny_generator: PairGenerator,
    real_pair: PairBatch,
    monkeypatch: pytest.MonkeyPatch,
    max_word_bits: float | None,
    num_attempts: int,
):
    drawn = []
    begin = GuidedSequences.__init__
    monkeypatch.setattr(GuidedSequences, "__init__", lambda *given: drawn.append(begin(*given)))
    tiny_generator.generation = dataclasses.replace(tiny_generator.generation, max_word_bits=max_word_bits)
    config = dataclasses.replace(SMALL, num_attempts=3)
    answers(tiny_generator, only_caption(real_pair), num=1, config=config)
    assert len(drawn) == num_attempts


@pytest.mark.parametrize(
    ("is_doubted", "chosen"), [([True, False, False], 1), ([False] * 3, 0), ([True] * 3, 0)]
)
def test_what_holds_no_doubted_word_is_chosen_first(
    tiny_generator: PairGenerator, real_pair, monkeypatch, is_doubted: list[bool], chosen: int
):
    autoencoder = check_completion(tiny_generator)
    part = known_part(half_of_both(real_pair), autoencoder.config)
    search = _Search(tiny_generator, autoencoder, SMALL)
    misfit = _Misfit(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(is_doubted))
    monkeypatch.setattr(search, "_misfit", lambda part, pairs: misfit)
    pairs = join(*[real_pair] * 3)
    pairs.token_ids[:, 0] = torch.arange(3)
    assert search._best(part, pairs).token_ids[0, 0] == chosen


def test_seeds_differ(tiny_generator: PairGenerator, real_pair: PairBatch):
    given = only_caption(real_pair)
    (first,), (second,) = (answers(tiny_generator, given, seed=seed, config=ONE_ROUND) for seed in (0, 1))
    assert not first.pairs.images.equal(second.pairs.images)


class TestMessages:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"num_answers": 0}, "num_answers must be at least 1, got 0"),
            ({"seed": -1}, r"seed must be in \[0, 2\^64\), got -1"),
        ],
    )
    def test_numbers(self, tiny_generator: PairGenerator, real_pair: PairBatch, change, message):
        with pytest.raises(MxqvaeError, match=message):
            complete(tiny_generator, only_image(real_pair), **change)

    def test_everything_given(self, tiny_generator: PairGenerator, real_pair: PairBatch):
        with pytest.raises(MxqvaeError, match="the whole pair is given, nothing is left to complete"):
            complete(tiny_generator, real_pair)

    def test_nothing_given(self, tiny_generator: PairGenerator, real_pair: PairBatch):
        with pytest.raises(MxqvaeError, match="nothing of the pair is given; draw whole pairs with"):
            complete(tiny_generator, only_caption(only_image(real_pair)))

    def test_another_size(self, tiny_generator: PairGenerator, real_pair: PairBatch):
        wrong = PairBatch(real_pair.images[:, :, :32, :32], real_pair.token_ids)
        with pytest.raises(MxqvaeError, match="needs an image of 64 x 64 pixels"):
            complete(tiny_generator, wrong)

    def test_halves_that_know_nothing_of_each_other(self, tiny_recipe_of, tiny_generator, real_pair):
        recipe = tiny_recipe_of("caption-mnist-cpu-i-t")
        tokenizer = CaptionTokenizer.train(["This is red 7."], max_length=40)
        config = recipe.autoencoder(PairShape(tokenizer.vocab_size, tokenizer.max_length, 64))
        apart = PairGenerator(tokenizer, build_autoencoder(config), Prior(recipe.prior(config)))
        with pytest.raises(MxqvaeError, match="encode image and caption apart and cannot complete pairs"):
            complete(apart, only_image(real_pair))

    def test_words_alone_and_nothing_that_reads_them(self, tiny_generator: PairGenerator, real_pair):
        tiny_generator.reader = None
        with pytest.raises(MxqvaeError, match="these weights have no reader and cannot find an image"):
            complete(tiny_generator, only_caption(real_pair))

    def test_a_prior_that_draws_images_first(self, tiny_generator: PairGenerator, real_pair: PairBatch):
        prior = Prior(dataclasses.replace(tiny_generator.prior.config, caption_first=None))
        other = PairGenerator(tiny_generator.tokenizer, tiny_generator.autoencoder, prior)
        with pytest.raises(MxqvaeError, match="this prior draws images before captions"):
            complete(other, only_image(real_pair))
