"""Stage 2: the prior, a causal transformer over code indices.

B batch, T codes of a pair, N of them the caption's, K codes of the codebook, or of all vocabularies.

Indices and logits stand in the order of the pair, image first; `PriorConfig.order` is that of drawing.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.code_layout import (
    Segment,
    possible_codes,
    total_codes,
    total_length,
    vocabularies,
)
from mxqvae.config import configuration
from mxqvae.layers.dropout import Dropout
from mxqvae.layers.transformer import Transformer, TransformerConfig

SEQUENCES_AT_A_TIME = 8
"""Sequences whose logits are held at once in training."""
_UNCOUNTED = -100
"""Stands for a code that is not to be predicted."""


@configuration
class CaptionFirstConfig:
    """The codes of a caption, the last of a pair, are drawn before those of the image."""

    num_codes: Annotated[int, Field(ge=1)]
    """Codes N of the caption."""
    share_left_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training pairs whose captions are left out: what guidance by their codes needed (Ho and
    Salimans 2022, section 3.2), which did not earn its place (docs/design.md). Shipped weights learned so."""


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
    caption_first: CaptionFirstConfig | None = None
    """Draw the caption first; none: in the order of the pair (the paper)."""

    def __post_init__(self) -> None:
        if self.caption_first is not None:
            if self.segments:
                raise ValueError("caption_first is for one codebook; put the caption's segment first instead")
            if self.caption_first.num_codes >= self.sequence_length:
                raise ValueError(f"caption_first.num_codes must be below {self.sequence_length}, all codes")
        held = (total_codes(self.segments), total_length(self.segments))
        if self.segments and held != (self.num_codes, self.sequence_length):
            raise ValueError(
                "num_codes and sequence_length must be the sums over segments, {} and {}".format(*held)
            )

    @property
    def order(self) -> list[int]:
        """Positions in the pair, in the order in which their codes are drawn."""
        first = self.caption_positions.start
        return [*self.caption_positions, *range(first)]

    @property
    def caption_positions(self) -> range:
        """Positions in the pair of a caption that is drawn first; none where it is not."""
        num_codes = self.caption_first.num_codes if self.caption_first else 0
        return range(self.sequence_length - num_codes, self.sequence_length)

    @property
    def num_choices(self) -> int:
        """Codes that there are to choose from, at the position with the most of them."""
        return max((segment.num_codes for segment in self.segments), default=self.num_codes)


class PriorLosses(NamedTuple):
    """Scalars of one batch, summed over steps and read by `Prior.summarise`."""

    total: Tensor
    """Cross-entropy, nats a code, with teacher forcing."""


class Prior(nn.Module):
    """Autoregressive distribution over code sequences: SOS, then the codes of a pair as they are drawn.

    Own embeddings and an untied, bias-free head, as in the official code. SOS is an input only, without a
    logit; it also stands for the codes of a caption that is left out. Where the sequence has segments, codes
    of another segment have no probability.
    """

    impossible: Tensor | None

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.embedding = nn.Embedding(config.num_codes + 1, width)
        self.positions = nn.Parameter(torch.randn(config.sequence_length, width) * 0.02)
        self.dropout = Dropout(config.transformer.dropout)
        self.transformer = Transformer(config.transformer, causal=True)
        self.head = nn.Linear(width, config.num_codes, bias=False)
        impossible = ~possible_codes(config.segments) if config.segments else None
        self.register_buffer("impossible", impossible, persistent=False)
        self.apply(_initialise)

    @property
    def start_index(self) -> int:
        """The index K that stands before the first code."""
        return self.config.num_codes

    def loss(self, indices: Tensor) -> PriorLosses:
        """Cross-entropy of `indices` (B, T), all positions alike (official code).

        In training, where captions come first, some are left out; their codes then count nothing.
        """
        drawn = targets = indices[:, self.config.order]
        caption = self.config.caption_first
        if self.training and caption is not None:
            left_out = torch.rand(len(drawn), 1, device=drawn.device) < caption.share_left_out
            hidden = left_out & (torch.arange(drawn.shape[1], device=drawn.device) < caption.num_codes)
            drawn, targets = (
                drawn.masked_fill(hidden, self.start_index),
                drawn.masked_fill(hidden, _UNCOUNTED),
            )
        return PriorLosses(self.cross_entropy(self._last_layer(drawn), targets))

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean nats of the codes `targets` (B, T) as drawn, from the last layer's output (B, T, W)."""
        sums = [
            nats
            for positions, choices in _stretches(self.config)
            for nats in self._sums_of_nats(hidden[:, positions], targets[:, positions], choices)
        ]
        return torch.stack(sums).sum() / (targets != _UNCOUNTED).sum()

    def _sums_of_nats(self, hidden: Tensor, targets: Tensor, choices: range) -> Iterator[Tensor]:
        """Nats of `targets` (B, n), each one of `choices`, from the last layer's output (B, n, W)."""
        weight = self.head.weight[choices.start : choices.stop]
        targets = torch.where(targets == _UNCOUNTED, targets, targets - choices.start)
        # A few sequences at a time: the logits of all would not fit the cache.
        for few, wanted in zip(
            hidden.split(SEQUENCES_AT_A_TIME), targets.split(SEQUENCES_AT_A_TIME), strict=True
        ):
            logits = F.linear(few, weight).float().flatten(0, 1)
            yield F.cross_entropy(logits, wanted.flatten(), ignore_index=_UNCOUNTED, reduction="sum")

    def summarise(self, sums: PriorLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        total = float(sums.total) / num_steps
        return {"total": total, "prior_perplexity": float(torch.tensor(total).exp())}

    def logits(self, indices: Tensor) -> Tensor:
        """Logits (B, T, K) of each code of `indices` (B, T) given those drawn before it (teacher forcing)."""
        order = torch.tensor(self.config.order, device=indices.device)
        return self.logits_as_drawn(indices[:, order])[:, order.argsort()]

    def logits_as_drawn(self, drawn: Tensor) -> Tensor:
        """Logits (B, n, K) of the first n codes in the order in which they are drawn, `drawn` (B, n)."""
        return self.score(self._last_layer(drawn), slice(drawn.shape[1]))

    def score(self, hidden: Tensor, steps: int | slice) -> Tensor:
        """Logits (..., K) of the codes drawn at `steps`, from the last layer's output (..., W) there."""
        logits = self.head(hidden)
        return logits if self.impossible is None else logits.masked_fill(self.impossible[steps], -torch.inf)

    def _last_layer(self, drawn: Tensor) -> Tensor:
        start = drawn.new_full((len(drawn), 1), self.start_index)
        inputs = torch.cat([start, drawn[:, :-1]], dim=1)
        positions = self.positions[: drawn.shape[1]]
        return self.transformer(self.dropout(self.embedding(inputs) + positions))


def _stretches(config: PriorConfig) -> list[tuple[slice, range]]:
    """Positions, as drawn, and the codes that can stand there: the others' logits need not be computed."""
    if not config.segments:
        return [(slice(None), range(config.num_codes))]
    ends = accumulate((segment.length for segment in config.segments), initial=0)
    positions = (slice(start, stop) for start, stop in pairwise(ends))
    return list(zip(positions, vocabularies(config.segments), strict=True))


def _initialise(module: nn.Module) -> None:
    """GPT-2's start: normal weights of deviation 0.02, zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
