"""Bits of real pairs' codes under stage 2.

    bits(code t) = -log2 p(code t | codes before it)        bits(pair) = their sum over the codes

These are bits of the codes, not of the pair. A stage 1 that keeps less of a pair needs fewer of them, so that
rows with different stages 1 can be compared only together with the errors of their reconstructions. Nor does
the split say what a modality costs by itself: the second half is cheaper by what the first has told.

B batch, T codes of a pair, K codes of the codebook or of all vocabularies.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.errors import MxqvaeError
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior
from mxqvae.progress import NoProgress, Progress

PAIRS_AT_A_TIME = 250


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Mean over pairs of the bits of some or all of their codes."""

    num_codes: int
    """Codes of a pair that are counted."""
    per_pair: float
    """Bits of all of these together."""
    standard_error: float | None
    """Of `per_pair`, pairs taken as independent; None for a single pair."""
    per_code: float
    """Bits of one of them."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodScore:
    """Bits of a set of pairs; `dataclasses.asdict` of it is plain JSON."""

    num_pairs: int
    """Pairs measured."""
    all_codes: Bits
    """Whole pairs."""
    image_codes: Bits
    """The codes at the image's positions, given the codes before them."""
    text_codes: Bits
    """The codes at the caption's positions, given the codes before them."""


def measure_likelihood(
    prior: Prior, indices: Tensor, image_positions: slice, *, progress: Progress = NoProgress()
) -> LikelihoodScore:
    """Measure the codes of real pairs, in batches that do not matter.

    Args:
        prior: In eval mode.
        indices: (N, T), what the prior's own stage 1 made of pairs outside its training set.
        image_positions: Which of the T codes are the image's, see `image_positions_of`.

    Raises:
        MxqvaeError: No pairs, or a code that the prior holds impossible.
    """
    if len(indices) == 0:
        raise MxqvaeError("no pairs to measure; give at least one")
    parts = []
    with progress.task("likelihood", total=len(indices), unit="pairs") as advance:
        for batch in indices.split(PAIRS_AT_A_TIME):
            parts.append(code_bits(prior, batch))
            advance(len(batch))
    bits = torch.cat(parts)
    impossible = (~bits.isfinite()).nonzero()
    if len(impossible):
        pair, position = impossible[0].tolist()
        raise MxqvaeError(
            f"code {position} of pair {pair} is {int(indices[pair, position])}, which the prior holds "
            "impossible there; encode the pairs with the autoencoder that it was trained on"
        )
    is_image = torch.zeros(bits.shape[1], dtype=torch.bool)
    is_image[image_positions] = True
    return LikelihoodScore(
        num_pairs=len(bits),
        all_codes=_summarise(bits),
        image_codes=_summarise(bits[:, is_image]),
        text_codes=_summarise(bits[:, ~is_image]),
    )


def image_positions_of(config: AutoencoderConfig) -> slice:
    """Which codes of a sequence stand at the image's positions."""
    if isinstance(config, MXQVAEConfig):
        return slice(0, config.num_image_codes)
    first, _ = config.segments
    return slice(0, first.length) if first.modality == "image" else slice(first.length, None)


def _summarise(bits: Tensor) -> Bits:
    """Mean over pairs of bits (N, number of codes)."""
    totals = bits.sum(1)
    error = float(totals.std() / math.sqrt(len(totals))) if len(totals) > 1 else None
    mean = float(totals.mean())
    num_codes = bits.shape[1]
    return Bits(num_codes=num_codes, per_pair=mean, standard_error=error, per_code=mean / num_codes)
