"""Draws pairs anew of which stage 1, reading image and caption once more, doubts a word.

That is rejection sampling with stage 1 as the critic. It reads as the audit does: where stage 1 has seen
captions that lie, a word is dear that the image contradicts, or of which it shows something in between.

B pairs, T codes of a pair, H and W pixels, L words.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.data.batch import PairBatch

NUM_ATTEMPTS = 8
"""Draws of a pair at most; of these the one whose worst word is cheapest is kept."""
NUM_TOGETHER = 8
"""Pairs drawn anew together, always, so that they round the same; see `prior.sampling.BLOCK_SIZE`."""


class DrawnPairs(NamedTuple):
    """B pairs as the models have them."""

    indices: Tensor
    """(B, T)."""
    images: Tensor
    """(B, 3, H, W) in [0, 1]."""
    token_ids: Tensor
    """(B, L)."""


def redraw_misfits(
    drawn: DrawnPairs,
    max_word_bits: float,
    *,
    worst_word_bits: Callable[[PairBatch], Tensor],
    draw_again: Callable[[Tensor, int], DrawnPairs],
) -> DrawnPairs:
    """`drawn`, with better pairs in place of those that have a word above `max_word_bits`.

    Args:
        worst_word_bits: Bits (B,) of the word of each pair that stage 1 doubts most.
        draw_again: Draws a pair for each of `NUM_TOGETHER` rows, the last of them several times where fewer
            are left; its second argument is the number of the attempt, from 1.
    """
    parts = [part.clone() for part in drawn]
    bits = worst_word_bits(PairBatch(*drawn[1:]))
    for attempt in range(1, NUM_ATTEMPTS):
        misfits = (bits > max_word_bits).nonzero()[:, 0]
        if not len(misfits):
            break
        for rows in misfits.split(NUM_TOGETHER):
            filled = torch.cat([rows, rows[-1:].expand(NUM_TOGETHER - len(rows))])
            again = draw_again(filled, attempt)
            new_bits = worst_word_bits(PairBatch(*again[1:]))[: len(rows)]
            better = (new_bits < bits[rows]).nonzero()[:, 0]
            for part, new in zip(parts, again, strict=True):
                part[rows[better]] = new[better]
            bits[rows[better]] = new_bits[better]
    return DrawnPairs(*parts)
