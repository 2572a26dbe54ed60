"""Processes that share work; results come out in the order of the work, and only a few wait at a time."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from mxqvae.errors import MxqvaeError

Kept = TypeVar("Kept")
Item = TypeVar("Item")
Result = TypeVar("Result")


class ProcessPool:
    """Spawned processes, which end when the context does."""

    def __init__(
        self, num_processes: int, does: str, begin: Callable[..., None] | None = None, *given: object
    ) -> None:
        """Prepare `num_processes`; they start with the first work.

        Args:
            does: What each does, for the error message, such as "decodes images".
            begin: A function at the top of its module, called with `given` when a process starts.
        """
        self._does = does
        # Spawned, not forked: a fork of a process with threads, such as pyarrow's, may hang.
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(num_processes, spawn, _begin, (begin, *given))

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Item], Result], work: Iterable[tuple[Kept, Item]], *, num_waiting: int
    ) -> Iterator[tuple[Kept, Result]]:
        """Yield what is kept of each work beside what a process makes of the rest of it, in order.

        Args:
            function: At the top of its module, or a `functools.partial` of such a one.
            work: What is kept, and what `function` is called with.
            num_waiting: Work that is under way or done at a time, before the first of it is yielded.

        Raises:
            MxqvaeError: A process was killed.
        """
        waiting: deque[tuple[Kept, Future[Result]]] = deque()
        try:
            for kept, item in work:
                waiting.append((kept, self._pool.submit(function, item)))
                if len(waiting) >= num_waiting:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        except BrokenProcessPool:
            raise MxqvaeError(
                f"a process that {self._does} was killed, for want of memory perhaps; try --processes 1"
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()


def _finished(kept: Kept, future: Future[Result]) -> tuple[Kept, Result]:
    return kept, future.result()


def _begin(begin: Callable[..., None] | None, *given: object) -> None:
    # Ctrl-C reaches every process of a terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if begin is not None:
        begin(*given)
