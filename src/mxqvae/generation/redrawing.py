"""Draws misfits anew: rejection sampling with both stages as critics.

Stage 1, reading image and caption once more, doubts a word. It reads as the audit does: where it has seen
captions that lie, a word is dear that the image contradicts, or of which it shows something in between.

The prior finds a code of the caption rare. A caption that names one place twice can fit its image to the
letter; its codes, as stage 1 reads them, are often such as the prior would hardly draw.

B pairs, T codes of a pair, H and W pixels, L words.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

NUM_ATTEMPTS = 8
"""Draws of a pair at most; of these the one that fits best is kept."""
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
    *,
    misfit: Callable[[DrawnPairs], Tensor],
    draw_again: Callable[[Tensor, int], DrawnPairs],
) -> DrawnPairs:
    """`drawn`, with better pairs in place of those that do not fit.

    Args:
        misfit: How badly each pair fits, (B,): above 1 it is drawn anew.
        draw_again: Draws a pair for each of `NUM_TOGETHER` rows, the last of them several times where fewer
            are left; its second argument is the number of the attempt, from 1.
    """
    parts = [part.clone() for part in drawn]
    worst = misfit(drawn)
    for attempt in range(1, NUM_ATTEMPTS):
        misfits = (worst > 1).nonzero()[:, 0]
        if not len(misfits):
            break
        for rows in misfits.split(NUM_TOGETHER):
            filled = torch.cat([rows, rows[-1:].expand(NUM_TOGETHER - len(rows))])
            again = draw_again(filled, attempt)
            new = misfit(again)[: len(rows)]
            better = (new < worst[rows]).nonzero()[:, 0]
            for part, redrawn in zip(parts, again, strict=True):
                part[rows[better]] = redrawn[better]
            worst[rows[better]] = new[better]
    return DrawnPairs(*parts)
