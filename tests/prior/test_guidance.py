import pytest
import torch
from torch import Tensor

from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.guidance import GuidedSequences
from mxqvae.prior.reader import CaptionReader, ReaderConfig, ReadingSequences
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior, PriorConfig

LAYERS = TransformerConfig(num_layers=2, width=16, num_heads=2)


def models() -> tuple[Prior, CaptionReader]:
    torch.manual_seed(0)
    prior = Prior(PriorConfig(num_codes=9, sequence_length=6, transformer=LAYERS))
    words = TransformerConfig(num_layers=1, width=8, num_heads=2)
    reader = CaptionReader(ReaderConfig(vocab_size=12, caption_length=5, prior=LAYERS, words=words))
    for parameter in (*prior.parameters(), *reader.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.eval(), reader.eval()


def step_by_step(sequences: PriorSequences | GuidedSequences, indices: Tensor) -> Tensor:
    steps = []
    for codes in indices.T:
        steps.append(sequences.step())
        sequences.append(codes)
    return torch.stack(steps, dim=1)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
@torch.no_grad()
def test_logits_are_those_of_the_formula(guidance: float):
    prior, reader = models()
    indices, token_ids = torch.randint(9, (3, 6)), torch.randint(4, 12, (3, 5))
    told = step_by_step(ReadingSequences(prior, reader, token_ids), indices)
    untold = step_by_step(PriorSequences(prior, 3), indices)
    guided = step_by_step(GuidedSequences(prior, reader, token_ids, guidance), indices)
    torch.testing.assert_close(guided, untold + guidance * (told - untold), rtol=1e-4, atol=1e-4)
