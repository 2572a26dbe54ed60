"""Holds training pairs out, to see when a model begins to learn the others by heart."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mxqvae.data.captioned_images.splitting import Families, position
from mxqvae.data.pairs import PairDataset

FEWEST_PAIRS = 1_000
"""Of fewer pairs none are held out: there are none to spare, and a model can but learn them by heart."""
MOST_HELD_OUT = 512
"""Pairs enough to compare weights by."""


def split_validation(pairs: PairDataset, share: float) -> tuple[Tensor, Tensor]:
    """Row numbers to learn from, and those to hold out, each in order.

    Pairs that share an image or a caption stay together. Which are held out depends on what they hold, not on
    their order or number; there may be none.

    Args:
        share: Of the pairs, about, to hold out; of more than `MOST_HELD_OUT` the rest is learned.
    """
    rows = torch.arange(len(pairs))
    if len(pairs) < FEWEST_PAIRS or share == 0:
        return rows, rows[:0]
    families = Families()
    keys = [b"caption:" + caption.encode() for caption in pairs.captions]
    for key, number in zip(keys, pairs.image_numbers.tolist(), strict=True):
        families.join(key, b"image:%d" % number)
    held_out = _held_out([families.eldest(key) for key in keys], share)
    return rows[~held_out], rows[held_out]


def _held_out(families: Sequence[bytes], share: float) -> Tensor:
    """Whether each pair is held out, by its family; whole families, in the order of their draw."""
    places = torch.tensor([position(family, 0, "validation") for family in families], dtype=torch.float64)
    chosen = places < share
    if int(chosen.sum()) > MOST_HELD_OUT:
        chosen &= places <= places[chosen].sort().values[MOST_HELD_OUT - 1]
    return chosen
