"""Samples and completes pairs on several processes: the same pairs and answers, from any number of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from mxqvae.data.batch import PairBatch
from mxqvae.device import num_cores
from mxqvae.errors import MxqvaeError
from mxqvae.generation.completion import DEFAULT_COMPLETION, CompletionConfig, Completions, complete
from mxqvae.generation.pipeline import PairGenerator, SampledPairs
from mxqvae.prior.sampling import blocks_of
from mxqvae.process_pool import ProcessPool

FEW_SAMPLES = 500
"""Pairs for which it pays to start a process that draws them, about."""
FEW_ANSWERS = 10
"""Pairs for which it pays to start a process that completes them, about."""


class Sample(Protocol):
    """Draws pairs as `PairGenerator.sample` does."""

    def __call__(self, num: int, *, seed: int = 0, first: int = 0) -> Iterator[SampledPairs]:
        """Pairs `first` to `first + num` of `seed`, up to 64 at a time."""
        ...


class Complete(Protocol):
    """Completes pairs as `completion.complete` does with a model."""

    def __call__(
        self,
        pairs: PairBatch,
        *,
        num_answers: int = 4,
        seed: int = 0,
        config: CompletionConfig = DEFAULT_COMPLETION,
    ) -> Iterator[Completions]:
        """One `Completions` for each of B pairs, in order."""
        ...


def fitting_processes(generator: PairGenerator, num: int, few: int) -> int:
    """Processes that finish `num` soonest: one for each core, but each with `few` to do; on a GPU one."""
    return max(1, min(num_cores(), num // few)) if generator.device.type == "cpu" else 1


@contextmanager
def sampling_on(generator: PairGenerator, num_processes: int) -> Iterator[Sample]:
    """What draws the pairs of `generator`, as it says, on `num_processes`, as long as the context lasts.

    Each process draws whole blocks. Two of one thread each draw a third more than one of two threads.

    Args:
        num_processes: 1 draws in this process, with its threads; more start with the first draw and keep a
            copy of the model each. A script that asks for more needs `if __name__ == "__main__":`.

    Raises:
        MxqvaeError: More than one process, and a model on a GPU, which one keeps busy; or, while pairs are
            drawn, a process was killed or could not begin.
    """
    if num_processes == 1:
        yield generator.sample
        return
    with processes_with(generator, num_processes, "samples") as pool:

        def sample(num: int, *, seed: int = 0, first: int = 0) -> Iterator[SampledPairs]:
            generator.sample(num, seed=seed, first=first)  # draws nothing, but refuses what it cannot draw
            blocks = (
                (None, range(start + wanted.start, start + wanted.stop))
                for start, wanted in blocks_of(num=num, first=first)
            )
            drawn = pool.map(partial(_draw, seed=seed), blocks, num_waiting=2 * num_processes)
            return (pairs for _, pairs in drawn)

        yield sample


@contextmanager
def completing_on(generator: PairGenerator, num_processes: int) -> Iterator[Complete]:
    """What completes pairs by `generator` on `num_processes`, as long as the context lasts.

    On tens of cores the bits of an answer can differ in the last digit from those of one process with as many
    threads. Arguments and errors as those of `sampling_on`.
    """
    if num_processes == 1:
        yield partial(complete, generator)
        return
    with processes_with(generator, num_processes, "completes pairs") as pool:

        def complete_pairs(
            pairs: PairBatch,
            *,
            num_answers: int = 4,
            seed: int = 0,
            config: CompletionConfig = DEFAULT_COMPLETION,
        ) -> Iterator[Completions]:
            asked = {"num_answers": num_answers, "seed": seed, "config": config}
            complete(generator, pairs, **asked)  # finds nothing, but refuses what it cannot complete
            # Copies: of a part of a tensor all of it would be sent.
            work = (
                (None, PairBatch(*(half[None].clone() for half in pair))) for pair in zip(*pairs, strict=True)
            )
            found = pool.map(partial(_complete, **asked), work, num_waiting=2 * num_processes)
            return (answers for _, answers in found)

        yield complete_pairs


def processes_with(generator: PairGenerator, num_processes: int, does: str, *given: Any) -> ProcessPool:
    """Processes with a copy of the model each, and of all else that is `given`, see `ProcessPool`.

    Raises:
        MxqvaeError: The model is on a GPU, which one process keeps busy.
    """
    if generator.device.type != "cpu":
        raise MxqvaeError(f"the model is on {generator.device}, which one process keeps busy; take 1 process")
    return ProcessPool(num_processes, does, generator, *given)


def _draw(generator: PairGenerator, numbers: range, *, seed: int) -> SampledPairs:
    """The pairs of these numbers, all of one block."""
    (pairs,) = generator.sample(len(numbers), seed=seed, first=numbers.start)
    return pairs


def _complete(generator: PairGenerator, pair: PairBatch, **asked) -> Completions:
    (answers,) = complete(generator, pair, **asked)
    return answers
