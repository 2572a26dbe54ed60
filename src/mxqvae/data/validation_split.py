"""Holds training pairs out, to see when a model begins to learn the others by heart."""

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor

from mxqvae.data.captioned_images.splitting import Families, position
from mxqvae.data.pairs import PairDataset

FEWEST_PAIRS = 1_000
"""Of fewer pairs none are held out: there are none to spare, and a model can but learn them by heart."""
MOST_HELD_OUT = 512
"""Pairs enough to compare weights by."""
LARGEST_FAMILY = 20
"""Pairs that belong together and may be held out; more, such as all of a class that shares its caption, would
be missed."""


def split_validation(pairs: PairDataset, share: float) -> tuple[Tensor, Tensor]:
    """Row numbers to learn from, and those to hold out, each in order.

    Pairs that share an image or a caption stay together. Which are held out depends on what they hold, not on
    their order; there may be none.

    Args:
        share: Of the pairs, about, to hold out; of more than `MOST_HELD_OUT` the rest is learned, and so are
            families above `LARGEST_FAMILY`.
    """
    rows = torch.arange(len(pairs))
    if len(pairs) < FEWEST_PAIRS or share == 0:
        return rows, rows[:0]
    families = Families()
    keys = [b"caption:" + caption.encode() for caption in pairs.captions]
    for key, number in zip(keys, pairs.image_numbers.tolist(), strict=True):
        families.join(key, b"image:%d" % number)
    family_of_row = [families.eldest(key) for key in keys]
    chosen = _held_out(Counter(family_of_row), share)
    held_out = torch.tensor([family in chosen for family in family_of_row])
    return rows[~held_out], rows[held_out]


def _held_out(sizes: Mapping[bytes, int], share: float) -> set[bytes]:
    """Which families, of so many pairs each, are held out: the first in the order of their draw."""
    places = {family: position(family, 0, "validation") for family in sizes}
    drawn = [family for family, place in places.items() if place < share and sizes[family] <= LARGEST_FAMILY]
    drawn.sort(key=places.__getitem__)
    sums = accumulate(sizes[family] for family in drawn)
    return {family for family, num in zip(drawn, sums, strict=True) if num <= MOST_HELD_OUT}
