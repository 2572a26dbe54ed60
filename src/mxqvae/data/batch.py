"""What every model receives and gives back: a batch of pairs, and the shape of such pairs."""

from typing import NamedTuple

import torch
from torch import Tensor


class PairBatch(NamedTuple):
    """B image-caption pairs, whole or in part."""

    images: Tensor
    """(B, 3, H, W), float32 in [0, 1]; NaN where a pixel is not known."""
    token_ids: Tensor
    """(B, L), int64; [END] after the last word, then padding; [MASK] where a word is not known."""


class PairShape(NamedTuple):
    """What a model has to know of a data set's pairs before it can be built."""

    vocab_size: int
    """Token ids V, the special ones among them."""
    caption_length: int
    """Words L of a padded caption."""
    image_size: int
    """Height and width of an image, in pixels."""


def to_floats(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def mirror_half(images: Tensor) -> Tensor:
    """(B, 3, H, W), each mirrored left to right with probability .5, by torch's global random state."""
    is_mirrored = torch.rand(len(images)) < 0.5
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images)


def to_bytes(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1], as models give them -> (B, H, W, 3) uint8."""
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
