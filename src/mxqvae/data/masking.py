"""Hides patches and words of a batch. Training only.

B batch, H and W pixels, L words.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mxqvae.config import configuration
from mxqvae.data.tokenizer import CaptionTokenizer


@configuration
class MaskingConfig:
    """How much of a pair is hidden from the encoder; the losses see all of it (paper: input masking)."""

    patch_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of image patches set to zero, exactly, drawn without replacement."""
    word_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of a caption's words hidden, exactly (rounded down), drawn without replacement."""
    random_word_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the hidden words, the share replaced by a random word of the vocabulary instead of [MASK].

    A caption that may lie where the image never does teaches the model to believe the image (as in BERT,
    Devlin et al. 2019, section 3.1).
    """


def mask_patches(images: Tensor, patch_size: int, share: float) -> Tensor:
    """Set `share` of the `patch_size`-pixel patches of each of `images` (B, C, H, W) to zero."""
    batch, _, height, width = images.shape
    grid = (height // patch_size, width // patch_size)
    hidden = _exact_share(torch.full((batch,), grid[0] * grid[1]), grid[0] * grid[1], share)
    hidden = hidden.to(images.device).view(batch, 1, grid[0], 1, grid[1], 1)
    patches = images.unflatten(3, (grid[1], patch_size)).unflatten(2, (grid[0], patch_size))
    return patches.masked_fill(hidden, 0).view(images.shape)


def mask_words(token_ids: Tensor, masking: MaskingConfig, vocab_size: int) -> Tensor:
    """Hide words of each caption behind [MASK] or, some of them, behind a random word.

    Args:
        token_ids: (B, L), padding last; words that are [MASK] already stay hidden.
        vocab_size: Token ids that there are; random words are neither special tokens nor beyond.
    """
    lengths = (token_ids != CaptionTokenizer.pad_id).sum(1)
    hidden = _exact_share(lengths.cpu(), token_ids.shape[1], masking.word_share).to(token_ids.device)
    random_words = torch.randint(CaptionTokenizer.end_id + 1, vocab_size, token_ids.shape)
    lies = torch.rand(token_ids.shape).to(token_ids.device) < masking.random_word_share
    lies &= token_ids != CaptionTokenizer.mask_id
    replaced = torch.where(lies, random_words.to(token_ids.device), CaptionTokenizer.mask_id)
    return torch.where(hidden, replaced, token_ids)


def _exact_share(lengths: Tensor, width: int, share: float) -> Tensor:
    """Boolean (B, width): floor(share · n) of the first n = `lengths` (B) places of each row, at random."""
    scores = torch.rand(len(lengths), width)
    scores = scores.masked_fill(torch.arange(width) >= lengths[:, None], 2.0)
    ranks = scores.argsort(1).argsort(1)
    # The small excess keeps floor(0.3 · 10) at 3 whatever the rounding of 0.3.
    return ranks < (lengths[:, None].double() * share + 1e-6).floor()
