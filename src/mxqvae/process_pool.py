"""Processes that share work; results come out in the order of the work, and only a few wait at a time."""

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from mxqvae.errors import MxqvaeError

Kept = TypeVar("Kept")
Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS_TO_TIDY = 0.5
"""In which the pool tidies up after processes that are gone, unless it waits for one of them."""
SECONDS_TO_STOP = 10.0
"""A moment would do; but for ever is too long to wait."""

_given: tuple[Any, ...] = ()
"""What this process was given, where it is one of several."""


class ProcessPool:
    """Spawned processes of one thread each, which end when the context does, or this process.

    All that passes between them is pickled to bytes. On their own tensors would pass through shared memory,
    of which containers have little, and through open files, of which a system has only so many.
    """

    def __init__(self, num_processes: int, does: str, *given: Any) -> None:
        """Prepare `num_processes`, 1 or more; they start with the first work.

        Args:
            does: What each does, for the error message, such as "decodes images".
            given: Of which each process gets a copy, such as a model.
        """
        self._does = does
        # Spawned, not forked: a fork of a process with threads, such as pyarrow's, may hang.
        spawn = multiprocessing.get_context("spawn")
        self._has_begun = spawn.Event()
        # A file: to send much to a process that ends before it reads would wait for ever.
        self._folder = tempfile.TemporaryDirectory(prefix="mxqvae-")
        path = Path(self._folder.name, "given.pickle")
        path.write_bytes(pickle.dumps(given))
        self._pool = ProcessPoolExecutor(num_processes, spawn, _begin, (self._has_begun, path))

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._pool.shutdown(cancel_futures=True)
            else:
                self._stop()
        finally:
            self._folder.cleanup()

    def _stop(self) -> None:
        """End at once: what is under way is not waited for, nobody would take it."""
        processes = self._processes()
        pool: Any = self._pool  # whose parts are not public
        manager, work, results = pool._executor_manager_thread, pool._call_queue, pool._result_queue
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        if manager is None:
            return  # nothing was begun
        manager.join(SECONDS_TO_TIDY)
        if manager.is_alive():
            # Half a message stands in either; nobody is left to read the one or to end the other.
            for end in (work._reader, results._writer):
                with suppress(OSError):
                    end.close()
            manager.join(SECONDS_TO_STOP)

    def _processes(self) -> list[BaseProcess]:
        return list((self._pool._processes or {}).values())

    def map(
        self, function: Callable[..., Result], work: Iterable[tuple[Kept, Item]], *, num_waiting: int
    ) -> Iterator[tuple[Kept, Result]]:
        """Yield what is kept of each work beside what a process makes of the rest of it, in order.

        Args:
            function: At the top of its module, or a `functools.partial` of such a one; called with what the
                process was given and the work's second part.
            work: What is kept, and what a process is sent.
            num_waiting: Work that is under way or done before the first of it is yielded.

        Raises:
            MxqvaeError: A process was killed, or could not begin.
        """
        waiting: deque[tuple[Kept, Future[bytes]]] = deque()
        started: list[BaseProcess] = []
        try:
            for kept, item in work:
                waiting.append((kept, self._pool.submit(_call, function, pickle.dumps(item))))
                started = self._processes() or started
                if len(waiting) >= num_waiting:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        except (BrokenProcessPool, BrokenPipeError):
            raise MxqvaeError(self._why_broken(started)) from None
        finally:
            for _, future in waiting:
                future.cancel()

    def _why_broken(self, processes: Iterable[BaseProcess]) -> str:
        for process in processes:
            process.join(SECONDS_TO_STOP)
        was_killed = any((process.exitcode or 0) < 0 for process in processes)
        if was_killed or self._has_begun.is_set():
            return (
                f"a process that {self._does} was killed, for want of memory perhaps; take fewer processes "
                "(--processes), or more memory"
            )
        return (
            f"no process that {self._does} could begin; a script that asks for more than one needs the line "
            '`if __name__ == "__main__":` above its calls'
        )


def _finished(kept: Kept, future: Future[bytes]) -> tuple[Kept, Any]:
    return kept, pickle.loads(future.result())


def _begin(has_begun: Event, path: Path) -> None:
    # Ctrl-C reaches every process of a terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _given
    _given = pickle.loads(path.read_bytes())
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    has_begun.set()
    # What is loaded by now stays; looking through it for garbage again and again takes time.
    gc.freeze()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(function: Callable[..., Any], item: bytes) -> bytes:
    return pickle.dumps(function(*_given, pickle.loads(item)))
