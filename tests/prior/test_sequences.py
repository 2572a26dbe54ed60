import torch

from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior, PriorConfig

CONFIG = PriorConfig(
    num_codes=9, sequence_length=6, transformer=TransformerConfig(num_layers=2, width=16, num_heads=2)
)


def test_logits_are_those_of_teacher_forcing():
    prior, indices = Prior(CONFIG).eval(), torch.randint(9, (3, 6))
    sequences, steps = PriorSequences(prior, 3), []
    for position in range(6):
        steps.append(sequences.step())
        sequences.append(indices[:, position])
    torch.testing.assert_close(torch.stack(steps, dim=1), prior.logits(indices))


def test_sequences_can_be_dropped_and_doubled():
    prior, indices, rows = Prior(CONFIG).eval(), torch.randint(9, (3, 6)), torch.tensor([2, 0, 2])
    sequences = PriorSequences(prior, 3)
    for position in range(4):
        sequences.step()
        sequences.append(indices[:, position])
    sequences.keep(rows)
    torch.testing.assert_close(sequences.step(), prior.logits(indices[rows])[:, 4])
