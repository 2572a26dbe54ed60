import dataclasses

import pytest
import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.guidance import GuidedSequences, begin_sequences
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import CaptionFirstConfig, Prior, PriorConfig

CONFIG = PriorConfig(
    num_codes=9,
    sequence_length=6,
    transformer=TransformerConfig(num_layers=2, width=16, num_heads=2),
    caption_first=CaptionFirstConfig(num_codes=2),
)


def prior_of_large_weights() -> Prior:
    prior = Prior(CONFIG)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.eval()


def logits_step_by_step(sequences: PriorSequences | GuidedSequences, indices: Tensor) -> Tensor:
    steps = torch.empty(*indices.shape, CONFIG.num_codes)
    for position in CONFIG.order:
        steps[:, position] = sequences.step()
        sequences.append(indices[:, position])
    return steps


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
def test_logits_are_those_of_the_formula(guidance: float):
    prior, indices = prior_of_large_weights(), torch.randint(9, (3, 6))
    told = prior.logits(indices)
    untold = prior.logits(indices.masked_fill(torch.arange(6) >= 4, prior.start_index))
    expected = torch.where((torch.arange(6) < 4)[:, None], untold + guidance * (told - untold), told)
    guided = logits_step_by_step(GuidedSequences(prior, 3, guidance), indices)
    torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-4)


def test_without_guidance_an_image_does_not_know_its_caption():
    prior, indices = prior_of_large_weights(), torch.randint(9, (3, 6))
    other = indices.clone()
    other[:, 4:] = (indices[:, 4:] + 1) % 9
    one, another = (logits_step_by_step(GuidedSequences(prior, 3, 0.0), codes) for codes in (indices, other))
    assert one[:, :4].equal(another[:, :4])


def test_sequences_can_be_dropped_and_doubled():
    prior, indices, rows = prior_of_large_weights(), torch.randint(9, (3, 6)), torch.tensor([2, 0, 2])
    sequences, others = (GuidedSequences(prior, 3, 2.0) for _ in range(2))
    for position in CONFIG.order[:4]:
        sequences.step()
        sequences.append(indices[:, position])
        others.step()
        others.append(indices[rows, position])
    sequences.keep(rows)
    torch.testing.assert_close(sequences.step(), others.step())


def test_only_what_changes_anything_is_computed():
    prior = prior_of_large_weights()
    assert isinstance(begin_sequences(prior, 3, 1.0), PriorSequences)
    assert isinstance(begin_sequences(prior, 3, 1.5), GuidedSequences)


def test_a_prior_that_draws_captions_last_is_refused():
    with pytest.raises(MxqvaeError) as refusal:
        GuidedSequences(Prior(dataclasses.replace(CONFIG, caption_first=None)), 3, 2.0)
    assert str(refusal.value) == (
        "this prior does not draw captions first, so they cannot guide; leave guidance out"
    )
