"""Bits of code sequences under a prior.

    bits(code t) = -log2 p(code t | codes before it)        bits(pair) = their sum over the codes

B batch, T codes of a pair, N of them the caption's, K codes of the codebook or of all vocabularies.
"""

import math

import torch
from torch import Tensor

from mxqvae.prior.transformer import Prior


@torch.no_grad()
def code_bits(prior: Prior, indices: Tensor) -> Tensor:
    """Bits (B, T), float64, of each code of `indices` (B, T) given those before it, by teacher forcing.

    Infinite where the prior holds a code impossible, as it does with the codes of another segment.

    Args:
        prior: In eval mode; its logits may be -inf, though not those of all codes at once.
    """
    return _bits(prior.logits(indices), indices)


@torch.no_grad()
def caption_code_bits(prior: Prior, indices: Tensor) -> Tensor:
    """The same (B, N) of the captions' codes alone, where these are drawn first: the rest is not computed."""
    first = indices[:, list(prior.config.caption_positions)]
    return _bits(prior.logits_as_drawn(first), first)


def _bits(logits: Tensor, indices: Tensor) -> Tensor:
    log_shares = logits.double().log_softmax(-1)  # nats
    return -log_shares.gather(-1, indices[..., None])[..., 0] / math.log(2)
