"""Stage 2: the prior, a causal transformer over code indices.

B batch, T codes of a pair, K codes of the codebook, or of all vocabularies.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.code_layout import Segment, possible_codes, total_codes, total_length
from mxqvae.config import configuration
from mxqvae.layers.transformer import Transformer, TransformerConfig


@configuration
class PriorConfig:
    """The prior; the default layers are the paper's (GPT-2's form, 25M parameters)."""

    num_codes: Annotated[int, Field(ge=2)] = 256
    """Codes K that it models."""
    sequence_length: Annotated[int, Field(ge=1)] = 72
    """Codes T of a pair."""
    segments: tuple[Segment, ...] = ()
    """Stretches of the sequence with a vocabulary of their own; none: one codebook everywhere."""
    transformer: TransformerConfig = TransformerConfig(num_layers=8, width=512, num_heads=8, dropout=0.1)
    """Causal layers."""

    def __post_init__(self) -> None:
        held = (total_codes(self.segments), total_length(self.segments))
        if self.segments and held != (self.num_codes, self.sequence_length):
            raise ValueError(
                "num_codes and sequence_length must be the sums over segments, {} and {}".format(*held)
            )

    @property
    def num_choices(self) -> int:
        """Codes that there are to choose from, at the position with the most of them."""
        return max((segment.num_codes for segment in self.segments), default=self.num_codes)


class PriorLosses(NamedTuple):
    """Scalars of one batch, summed over steps and read by `Prior.summarise`."""

    total: Tensor
    """Cross-entropy, nats a code, with teacher forcing."""


class Prior(nn.Module):
    """Autoregressive distribution over code sequences: SOS, then the codes of a pair in their order.

    Own embeddings and an untied, bias-free head, as in the official code. SOS is an input only, without a
    logit. Where the sequence has segments, codes of another segment have no probability.
    """

    impossible: Tensor | None

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.embedding = nn.Embedding(config.num_codes + 1, width)
        self.positions = nn.Parameter(torch.randn(config.sequence_length, width) * 0.02)
        self.dropout = nn.Dropout(config.transformer.dropout)
        self.transformer = Transformer(config.transformer, causal=True)
        self.head = nn.Linear(width, config.num_codes, bias=False)
        impossible = ~possible_codes(config.segments) if config.segments else None
        self.register_buffer("impossible", impossible, persistent=False)
        self.apply(_initialise)

    @property
    def start_index(self) -> int:
        """The index K that stands before the first code."""
        return self.config.num_codes

    def forward(self, indices: Tensor) -> PriorLosses:
        """The losses of a batch of code sequences (B, T): see `loss`."""
        return self.loss(indices)

    def loss(self, indices: Tensor) -> PriorLosses:
        """Cross-entropy of `indices` (B, T), all positions alike (official code)."""
        return PriorLosses(F.cross_entropy(self.logits(indices).float().flatten(0, 1), indices.flatten()))

    def summarise(self, sums: PriorLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        total = float(sums.total) / num_steps
        return {"total": total, "prior_perplexity": float(torch.tensor(total).exp())}

    def logits(self, indices: Tensor) -> Tensor:
        """Logits (B, T, K) of each code given those before it, by teacher forcing on `indices` (B, T)."""
        start = indices.new_full((len(indices), 1), self.start_index)
        inputs = torch.cat([start, indices[:, :-1]], dim=1)
        hidden = self.transformer(self.dropout(self.embedding(inputs) + self.positions))
        return self.score(hidden, slice(None))

    def score(self, hidden: Tensor, positions: int | slice) -> Tensor:
        """Logits (..., K) of the codes at `positions`, from the last layer's output there (..., W)."""
        logits = self.head(hidden)
        return (
            logits if self.impossible is None else logits.masked_fill(self.impossible[positions], -torch.inf)
        )


def _initialise(module: nn.Module) -> None:
    """GPT-2's start: normal weights of deviation 0.02, zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
