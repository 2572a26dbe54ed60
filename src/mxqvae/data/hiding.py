"""Hides parts of whole pairs as people do who ask for the rest: one side, or some of both. Training only.

Hidden pixels are NaN and hidden words [MASK], as in any pair that is known in part; `masking` is what stage
1's own training hides.

B batch, H and W pixels, L words.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer

WHOLE, PART, NOTHING = 0, 1, 2
"""How much of an image or a caption is given."""


class _Way(NamedTuple):
    image: int
    caption: int
    share: float
    """Share of the pairs."""


WAYS = (
    _Way(image=WHOLE, caption=NOTHING, share=0.2),
    _Way(image=NOTHING, caption=WHOLE, share=0.25),
    _Way(image=PART, caption=PART, share=0.3),
    _Way(image=WHOLE, caption=PART, share=0.05),
    _Way(image=PART, caption=WHOLE, share=0.1),
    _Way(image=PART, caption=NOTHING, share=0.05),
    _Way(image=NOTHING, caption=PART, share=0.05),
)


def hide_parts(pairs: PairBatch, patch_size: int) -> PairBatch:
    """Hide a random part of each of `pairs`, by torch's global generator.

    Of images a rectangle, all but a rectangle, or scattered patches of `patch_size` pixels; of captions a run
    of words, or scattered ones. Any share may be hidden, and all shares are about as likely.
    """
    shares = torch.tensor([way.share for way in WAYS])
    drawn = torch.multinomial(shares, len(pairs.images), replacement=True)
    image_given = torch.tensor([way.image for way in WAYS])[drawn]
    caption_given = torch.tensor([way.caption for way in WAYS])[drawn]
    return PairBatch(
        _hide_pixels(pairs.images, image_given, patch_size), _hide_words(pairs.token_ids, caption_given)
    )


def _hide_pixels(images: Tensor, given: Tensor, patch_size: int) -> Tensor:
    batch, _, height, width = images.shape
    inside = _interval(batch, height)[:, :, None] & _interval(batch, width)[:, None, :]
    inside ^= torch.rand(batch, 1, 1) < 0.5  # all but the rectangle
    patches = torch.rand(batch, height // patch_size, width // patch_size) < torch.rand(batch, 1, 1)
    scattered = patches.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)
    part = torch.where(torch.rand(batch, 1, 1) < 0.5, inside, scattered)
    hidden = _hidden(given[:, None, None], part).to(images.device)
    return images.masked_fill(hidden[:, None], torch.nan)


def _hide_words(token_ids: Tensor, given: Tensor) -> Tensor:
    """A caption of which nothing is given has no length either: [MASK] everywhere."""
    batch, length = token_ids.shape
    words = (token_ids > CaptionTokenizer.end_id).cpu()
    scattered = torch.rand(batch, length) < torch.rand(batch, 1)
    ends = (torch.rand(batch, 2) * (words.sum(1, keepdim=True) + 1)).long().sort(1).values
    places = torch.arange(length)
    run = (places >= ends[:, :1]) & (places < ends[:, 1:])
    part = torch.where(torch.rand(batch, 1) < 0.5, run, scattered) & words
    hidden = _hidden(given[:, None], part).to(token_ids.device)
    return token_ids.masked_fill(hidden, CaptionTokenizer.mask_id)


def _hidden(given: Tensor, part: Tensor) -> Tensor:
    """What is hidden: nothing, the `part`, or all."""
    return (given == NOTHING) | ((given == PART) & part)


def _interval(batch: int, size: int) -> Tensor:
    """(B, size) bool: one random interval of each row."""
    ends = (torch.rand(batch, 2) * (size + 1)).long().sort(1).values
    places = torch.arange(size)
    return (places >= ends[:, :1]) & (places < ends[:, 1:])
