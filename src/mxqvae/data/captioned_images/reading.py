"""Decodes images on all cores: pairs come out in their order, and only a few are in memory at a time."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from mxqvae.data.captioned_images.source import Box, FileRange, SourcePair
from mxqvae.data.captioned_images.square_image import SquareImage, make_square
from mxqvae.errors import MxqvaeError

CHUNK_SIZE = 32
"""Pairs that a process takes at a time."""
MAX_CHUNK_BYTES = 8 << 20
"""A chunk with more encoded bytes than this has fewer pairs."""
CHUNKS_PER_PROCESS = 3
"""Chunks on their way, so that no process waits."""

_Image = tuple[bytes | FileRange | None, Box | None]


def read_images(
    pairs: Iterable[SourcePair], *, size: int, num_processes: int = 1
) -> Iterator[tuple[SourcePair, SquareImage | None]]:
    """Yield each pair with its image made square, None where the pair has none.

    Args:
        size: Side of the square in pixels.
        num_processes: 1 decodes in this process; more are started for as long as the iteration lasts, and
            make no difference to the result.

    Raises:
        MxqvaeError: A process was killed.
    """
    if num_processes == 1:
        for pair in pairs:
            yield pair, _make_square((pair.image, pair.box), size)
        return
    # Spawned, not forked: a fork of a process with threads, such as pyarrow's, may hang.
    pool = ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"), _ignore_interrupts)
    waiting: deque[tuple[list[SourcePair], Future[list[SquareImage | None]]]] = deque()
    try:
        for chunk in _chunks(pairs):
            images = [(pair.image, pair.box) for pair in chunk]
            # Encoded images are not kept twice.
            waiting.append(
                ([pair._replace(image=None) for pair in chunk], pool.submit(_make_squares, images, size))
            )
            if len(waiting) >= CHUNKS_PER_PROCESS * num_processes:
                yield from _finished(*waiting.popleft())
        while waiting:
            yield from _finished(*waiting.popleft())
    except BrokenProcessPool:
        raise MxqvaeError(
            "a process that decodes images was killed, for want of memory perhaps; try --processes 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(
    chunk: list[SourcePair], squares: Future[list[SquareImage | None]]
) -> Iterator[tuple[SourcePair, SquareImage | None]]:
    return zip(chunk, squares.result(), strict=True)


def _chunks(pairs: Iterable[SourcePair]) -> Iterator[list[SourcePair]]:
    chunk: list[SourcePair] = []
    num_bytes = 0
    for pair in pairs:
        chunk.append(pair)
        num_bytes += len(pair.image) if isinstance(pair.image, bytes) else 0
        if len(chunk) == CHUNK_SIZE or num_bytes > MAX_CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of a terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_squares(images: list[_Image], size: int) -> list[SquareImage | None]:
    return [_make_square(image, size) for image in images]


def _make_square(image: _Image, size: int) -> SquareImage | None:
    encoded, box = image
    return None if encoded is None else make_square(encoded, size, box)
