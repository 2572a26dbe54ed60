"""What every model receives and gives back: a batch of pairs."""

from typing import NamedTuple

from torch import Tensor


class PairBatch(NamedTuple):
    """B image-caption pairs."""

    images: Tensor
    """(B, 3, H, W), float32 in [0, 1]."""
    token_ids: Tensor
    """(B, L), int64; [END] after the last word, then padding."""
