import itertools
import math
from dataclasses import replace

import pytest
import torch

from mxqvae.autoencoder.code_layout import Segment
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.bits import caption_code_bits, code_bits
from mxqvae.prior.transformer import CaptionFirstConfig, Prior, PriorConfig

SMALL = PriorConfig(
    num_codes=9,
    sequence_length=11,
    transformer=TransformerConfig(num_layers=2, width=12, num_heads=3, dropout=0.1),
)
IMAGE, TEXT = (
    Segment(modality="image", length=2, num_codes=4),
    Segment(modality="text", length=1, num_codes=3),
)
SEGMENTED = replace(SMALL, num_codes=7, sequence_length=3, segments=(IMAGE, TEXT))


def sharp_prior(config: PriorConfig = SMALL) -> Prior:
    """An untrained prior with opinions."""
    prior = Prior(config).eval()
    prior.head.weight.data *= 100
    return prior


def uniform_prior(config: PriorConfig) -> Prior:
    prior = Prior(config).eval()
    prior.head.weight.data.zero_()
    return prior


@pytest.mark.parametrize("num_codes", [2, 9, 256])
def test_every_code_of_a_uniform_prior_costs_the_same(num_codes: int):
    prior = uniform_prior(replace(SMALL, num_codes=num_codes))
    indices = torch.randint(num_codes, (3, 11))
    expected = torch.full((3, 11), math.log2(num_codes), dtype=torch.float64)
    torch.testing.assert_close(code_bits(prior, indices), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("config", [replace(SMALL, num_codes=4, sequence_length=3), SEGMENTED])
def test_all_sequences_together_have_probability_one(config: PriorConfig):
    sequences = torch.tensor(list(itertools.product(range(config.num_codes), repeat=3)))
    shares = 2 ** -code_bits(sharp_prior(config), sequences).sum(1)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert float(shares.max()) > 3 / len(shares)


def test_they_are_the_loss_in_another_unit():
    prior, indices = sharp_prior(), torch.randint(9, (5, 11))
    nats = float(code_bits(prior, indices).mean()) * math.log(2)
    assert nats == pytest.approx(float(prior.loss(indices).total.detach()), rel=1e-5)


def test_a_pair_does_not_depend_on_its_batch():
    prior, indices = sharp_prior(), torch.randint(9, (7, 11))
    apart = torch.cat([code_bits(prior, row) for row in indices.split(1)])
    torch.testing.assert_close(code_bits(prior, indices), apart, rtol=1e-5, atol=1e-5)


def test_a_code_costs_nothing_to_those_before_it():
    prior, indices = sharp_prior(), torch.randint(9, (1, 11))
    changed = indices.clone()
    changed[0, 6] = (indices[0, 6] + 1) % 9
    before, after = code_bits(prior, indices)[0], code_bits(prior, changed)[0]
    assert before[:6].equal(after[:6])
    assert (before[6:] != after[6:]).all()


def test_codes_of_another_segment_are_impossible_and_the_rest_is_finite():
    bits = code_bits(uniform_prior(SEGMENTED), torch.tensor([[0, 3, 4], [0, 5, 6], [0, 1, 2]]))
    expected = [[2, 2, math.log2(3)], [2, math.inf, math.log2(3)], [2, 2, math.inf]]
    torch.testing.assert_close(bits, torch.tensor(expected, dtype=torch.float64))


def test_captions_that_are_drawn_first_cost_the_same_alone():
    prior = sharp_prior(replace(SMALL, caption_first=CaptionFirstConfig(num_codes=3)))
    indices = torch.randint(9, (5, 11))
    whole = code_bits(prior, indices)[:, 8:]
    torch.testing.assert_close(caption_code_bits(prior, indices), whole, rtol=1e-4, atol=1e-4)
