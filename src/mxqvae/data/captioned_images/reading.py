"""Decodes images on all cores: pairs come out in their order, and only a few are in memory at a time."""

from collections.abc import Iterable, Iterator
from functools import partial

from mxqvae.data.captioned_images.source import Box, FileRange, SourcePair
from mxqvae.data.captioned_images.square_image import SquareImage, make_square
from mxqvae.process_pool import ProcessPool

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
        MxqvaeError: A process was killed or could not begin.
    """
    if num_processes == 1:
        for pair in pairs:
            yield pair, _make_square((pair.image, pair.box), size)
        return
    # Encoded images are not kept twice.
    work = (
        ([pair._replace(image=None) for pair in chunk], [(pair.image, pair.box) for pair in chunk])
        for chunk in _chunks(pairs)
    )
    with ProcessPool(num_processes, "decodes images") as pool:
        num_waiting = CHUNKS_PER_PROCESS * num_processes
        for chunk, squares in pool.map(partial(_make_squares, size=size), work, num_waiting=num_waiting):
            yield from zip(chunk, squares, strict=True)


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


def _make_squares(images: list[_Image], *, size: int) -> list[SquareImage | None]:
    return [_make_square(image, size) for image in images]


def _make_square(image: _Image, size: int) -> SquareImage | None:
    encoded, box = image
    return None if encoded is None else make_square(encoded, size, box)
