"""Samples on several processes, each of which draws whole blocks: the same pairs, from any number of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from mxqvae.device import num_cores
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator, SampledPairs
from mxqvae.prior.sampling import blocks_of
from mxqvae.process_pool import ProcessPool

FEW_PAIRS = 1000
"""Pairs that one process draws before others have started, about."""


class Sample(Protocol):
    """Draws pairs as `PairGenerator.sample` does."""

    def __call__(self, num: int, *, seed: int = 0, first: int = 0) -> Iterator[SampledPairs]:
        """Pairs `first` to `first + num` of `seed`, up to 64 at a time."""
        ...


def fitting_processes(generator: PairGenerator, num: int) -> int:
    """Processes that draw `num` pairs soonest: one for each core, but one alone for few pairs or on a GPU."""
    return num_cores() if num >= FEW_PAIRS and generator.device.type == "cpu" else 1


@contextmanager
def sampling_on(generator: PairGenerator, num_processes: int) -> Iterator[Sample]:
    """What draws the pairs of `generator`, as it says, on `num_processes`, as long as the context lasts.

    Two processes of one thread each draw a third more than one of two threads. They start with the first
    draw and keep a copy of the model each.

    Args:
        num_processes: 1 draws in this process, with its threads. A script that asks for more needs
            `if __name__ == "__main__":`.

    Raises:
        MxqvaeError: More than one process, and a model on a GPU, which one keeps busy; or, while pairs are
            drawn, a process was killed.
    """
    if num_processes == 1:
        yield generator.sample
        return
    if generator.device.type != "cpu":
        raise MxqvaeError(f"the model is on {generator.device}, which one process keeps busy; take 1 process")
    with ProcessPool(num_processes, "samples", generator) as pool:

        def sample(num: int, *, seed: int = 0, first: int = 0) -> Iterator[SampledPairs]:
            generator.sample(num, seed=seed, first=first)  # draws nothing, but refuses what it cannot draw
            blocks = (
                (None, range(start + wanted.start, start + wanted.stop))
                for start, wanted in blocks_of(num=num, first=first)
            )
            drawn = pool.map(partial(_draw, seed=seed), blocks, num_waiting=2 * num_processes)
            return (pairs for _, pairs in drawn)

        yield sample


def _draw(generator: PairGenerator, numbers: range, *, seed: int) -> SampledPairs:
    """The pairs of these numbers, all of one block."""
    (pairs,) = generator.sample(len(numbers), seed=seed, first=numbers.start)
    return pairs
