import numpy as np
import torch

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch
from mxqvae.generation.pair_fit import PairFit
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.generation.recombination import RecombinationConfig, Recombiner, _mix

CONFIG = RecombinationConfig(num_drawn=8, num_read=6, num_donors=3, num_finalists=4, num_steps=3)


def test_a_mixture_has_one_part_of_its_donor():
    image, donors = torch.zeros(3, 8, 8), torch.ones(2, 3, 8, 8)
    mixed = _mix(image, donors)
    assert mixed.shape == (16, 3, 8, 8)
    assert mixed.mean((1, 2, 3)).tolist() == [0.5] * 8 + [0.25] * 8
    assert len(torch.unique(mixed, dim=0)) == 8


def test_an_image_consists_of_quarters_of_drawn_ones(tiny_generator: PairGenerator):
    autoencoder, prior = tiny_generator.autoencoder, tiny_generator.prior
    assert isinstance(autoencoder, MXQVAE)
    captions = [f"This is red {digit}." for digit in range(8)]
    drawn = PairBatch(torch.rand(8, 3, 64, 64), tiny_generator.tokenizer.encode(captions))
    token_ids = tiny_generator.tokenizer.encode(["This is red 7."])[0]
    recombiner = Recombiner(PairFit(autoencoder, prior), drawn, CONFIG)
    image = recombiner.find(token_ids, token_ids != 0, np.random.default_rng(0))
    for rows in (slice(0, 32), slice(32, 64)):
        for columns in (slice(0, 32), slice(32, 64)):
            assert any(image[:, rows, columns].equal(one[:, rows, columns]) for one in drawn.images)


def test_fit_is_what_the_stages_say(tiny_generator: PairGenerator):
    autoencoder, prior = tiny_generator.autoencoder, tiny_generator.prior
    assert isinstance(autoencoder, MXQVAE)
    fit = PairFit(autoencoder, prior)
    token_ids = tiny_generator.tokenizer.encode(["This is red 7."])
    indices = autoencoder.encode(PairBatch(torch.rand(1, 3, 64, 64), token_ids))
    codes = autoencoder.quantizer.lookup(indices)
    shares = autoencoder.decode_captions(codes).double().softmax(-1)[0].gather(-1, token_ids[0, :, None])
    torch.testing.assert_close(2 ** -fit.word_bits(token_ids, indices)[0], shares[:, 0].detach())
    chances = prior.logits(indices).double().softmax(-1)[0].gather(-1, indices[0, :, None])
    torch.testing.assert_close(2 ** -fit.code_bits(indices)[0], chances[:, 0].detach())


def test_images_whose_captions_share_most_are_read(tiny_generator: PairGenerator):
    autoencoder = tiny_generator.autoencoder
    assert isinstance(autoencoder, MXQVAE)
    captions = ["This is red 7.", "The 7 on the upper left is red.", "This is blue 1.", "This is red 7."]
    drawn = PairBatch(torch.rand(4, 3, 64, 64), tiny_generator.tokenizer.encode(captions))
    config = RecombinationConfig(num_drawn=4, num_read=2)
    recombiner = Recombiner(PairFit(autoencoder, tiny_generator.prior), drawn, config)
    given = tiny_generator.tokenizer.encode(["This is red 7."])[0]
    assert sorted(recombiner._similar(given, np.random.default_rng(0)).tolist()) == [0, 3]
