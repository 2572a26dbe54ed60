"""Random draws that are the same on every machine and with every version of numpy.

They are made from the raw 64-bit words of PCG64, a stream that numpy keeps for good. The methods of
`numpy.random.Generator` may give other numbers in another release, so they are not used.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """Uniform draws from a fixed list of random words; each draw uses up one."""

    def __init__(self, words: Sequence[int]) -> None:
        self._words = iter(words)

    def below(self, bound: int) -> int:
        """Draw an integer from [0, bound); no probability is off by more than 2**-64."""
        return next(self._words) * bound >> 64

    def one_of(self, items: Sequence[T]) -> T:
        """Draw one item."""
        return items[self.below(len(items))]

    def distinct(self, items: Sequence[T], num: int) -> list[T]:
        """Draw `num` different items in random order: the first steps of a Fisher-Yates shuffle."""
        remaining = list(items)
        return [remaining.pop(self.below(len(remaining))) for _ in range(num)]


def draws_by_number(
    seed: int, stream: tuple[int, ...], *, first: int, num: int, num_words: int
) -> list[Draws]:
    """Give each of the numbers `first` to `first + num - 1` draws of its own, whatever the others draw.

    Args:
        seed: 0 or more.
        stream: Names one of many independent streams of a seed.
        num_words: Draws set aside for each number.
    """
    generator = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=stream))
    generator.advance(first * num_words)
    words = np.asarray(generator.random_raw(num * num_words))
    return [Draws(row) for row in words.reshape(num, num_words).tolist()]
