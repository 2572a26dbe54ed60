"""The shuffled floor: captions dealt to other images at random."""

import random

from mxqvae.errors import MxqvaeError


def deal_numbers(num: int, seed: int = 0) -> list[int]:
    """For each of `num` images the number of the pair whose caption it gets.

    Captions move along one random cycle through all pairs, so none comes back to its own image.

    Raises:
        MxqvaeError: Fewer than two pairs.
    """
    if num < 2:
        raise MxqvaeError(f"{num} pairs cannot exchange captions; give two or more")
    order = random.Random(seed).sample(range(num), num)
    source = dict(zip(order, order[1:] + order[:1], strict=True))
    return [source[number] for number in range(num)]
