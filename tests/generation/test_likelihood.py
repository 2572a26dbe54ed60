import math

import numpy as np
import pytest
import torch

from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairShape
from mxqvae.data.caption_grammar import COLOURS
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior


@pytest.fixture(scope="module")
def pairs(caption_mnist_small) -> PairDataset:
    """The first 23 test pairs."""
    test = PairDataset.from_parquet(caption_mnist_small, "test")
    return PairDataset(test.images[:23], test.captions[:23])


@pytest.fixture
def generator(tiny_generator: PairGenerator) -> PairGenerator:
    """An untrained model with opinions."""
    tiny_generator.prior.head.weight.data *= 100
    for parameter in tiny_generator.autoencoder.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return tiny_generator


def test_bits_are_those_of_codes_and_words(generator: PairGenerator, pairs: PairDataset):
    found = generator.likelihood(pairs.images.numpy(), pairs.captions)
    codes = generator.encode(pairs.images.numpy(), pairs.captions)
    torch.testing.assert_close(found.code_bits, code_bits(generator.prior, codes), rtol=1e-4, atol=1e-3)
    assert isinstance(generator.autoencoder, MXQVAE)
    token_ids = generator.tokenizer.encode(pairs.captions)
    logits = generator.autoencoder.decode_captions(generator.autoencoder.quantizer.lookup(codes))
    shares = logits.softmax(-1).gather(-1, token_ids[..., None])[..., 0].detach()
    assert found.word_bits.shape == token_ids.shape
    for row, word in ((0, 0), (5, 2), (22, 3)):
        assert float(found.word_bits[row, word]) == pytest.approx(-math.log2(shares[row, word]), rel=1e-3)
    assert (found.word_bits[token_ids == CaptionTokenizer.end_id] > 0).all()
    assert (found.word_bits[token_ids == CaptionTokenizer.pad_id] == 0).all()
    totals = found.code_bits.sum(1) + found.word_bits.sum(1)
    torch.testing.assert_close(found.pair_bits(), totals)


def test_order_and_company_do_not_matter(generator: PairGenerator, pairs: PairDataset):
    images, captions = pairs.images.numpy(), pairs.captions
    together = generator.likelihood(images, captions)
    backwards = generator.likelihood(images[::-1].copy(), captions[::-1])
    alone = generator.likelihood(images[21:22], captions[21:22])
    for bits, others, own in zip(together, backwards, alone, strict=True):
        assert bits.equal(others.flip(0))
        assert bits[21:22].equal(own)


def test_a_caption_that_is_not_known_has_no_words(generator: PairGenerator, pairs: PairDataset):
    found = generator.likelihood(pairs.images[:1].numpy(), [""])
    assert found.word_bits.sum() == 0


def test_a_wrong_slot_costs_bits(pairs: PairDataset):
    shipped = PairGenerator.from_pretrained()
    lies = [swap_colours(caption) for caption in pairs.captions[:10]]
    images = np.concatenate([pairs.images[:10].numpy()] * 2)
    bits = shipped.likelihood(images, pairs.captions[:10] + lies).pair_bits()
    assert (bits[10:] > bits[:10]).all()


def swap_colours(caption: str) -> str:
    """The caption with another colour in its first slot."""
    colour = next(word for word in caption.replace(".", " ").split() if word in COLOURS)
    other = next(iter(set(COLOURS) - {colour}))
    return caption.replace(colour, other, 1)


class TestMessages:
    def test_images_of_another_form_or_number(self, generator: PairGenerator, pairs: PairDataset):
        images = pairs.images.numpy()
        with pytest.raises(MxqvaeError, match=r"3 captions need as many images of 64 x 64 pixels"):
            generator.likelihood(images[:2], pairs.captions[:3])
        with pytest.raises(MxqvaeError, match="images of 64 x 32 pixels, the model takes 64 x 64"):
            generator.likelihood(images[:1, :32], pairs.captions[:1])
        with pytest.raises(MxqvaeError, match="at least one"):
            generator.likelihood(images[:0], [])

    def test_halves_apart(self, tiny_recipe_of):
        recipe = tiny_recipe_of("caption-mnist-cpu-i-t")
        tokenizer = CaptionTokenizer.train(["This is red 7."], max_length=40)
        config = recipe.autoencoder(PairShape(tokenizer.vocab_size, tokenizer.max_length, 64))
        apart = PairGenerator(tokenizer, build_autoencoder(config), Prior(recipe.prior(config)))
        with pytest.raises(MxqvaeError, match=r"cannot tell which pairs fit; measure the codes with"):
            apart.likelihood(np.zeros((1, 64, 64, 3), np.uint8), ["This is red 7."])
