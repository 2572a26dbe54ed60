"""Finds the nearest training image of each image, exactly, by the distance of their pixels.

Most of an image of Caption MNIST is black. Images are therefore compared tile by tile, and tiles that are
black in a training image cost nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.progress import NoProgress, Progress

TILE_SIZE = 8
"""Side of a tile, px: small enough to skip most of an image that is black for the most part."""
IMAGES_AT_A_TIME = 256
TRAINING_IMAGES_AT_A_TIME = 4096


class Neighbours(NamedTuple):
    """The nearest training image of each of N images."""

    indices: Tensor
    """(N,) int64, numbers of training images; the first of several that are equally near."""
    distances: Tensor
    """(N,) float64, root mean square over pixel values in [0, 1]; exactly 0 for a copy."""
    mirrored: Tensor | None = None
    """(N,) bool, whether it is the mirrored training image that is so near; None where none was mirrored."""


def nearest_training_images(
    images: Tensor,
    training: Tensor,
    description: str = "nearest training images",
    *,
    progress: Progress = NoProgress(),
) -> Neighbours:
    """Find the nearest training image of each image, exactly, in memory that does not grow with `images`.

    Args:
        images: (N, H, W, 3) uint8.
        training: (M, H, W, 3) uint8.
        description: What the progress calls it.

    Raises:
        MxqvaeError: No images, no training images, or images of another size or type.
    """
    _check(images, training)
    chunks = [_read_chunk(chunk) for chunk in training.split(TRAINING_IMAGES_AT_A_TIME)]
    found = []
    with progress.task(description, total=len(images), unit="images") as advance:
        for block in images.split(IMAGES_AT_A_TIME):
            found.append(_search(block, chunks))
            advance(len(block))
    return Neighbours(
        torch.cat([part.indices for part in found]), torch.cat([part.distances for part in found])
    )


class _Tile(NamedTuple):
    """One tile of one colour channel, in all images of a chunk where it is not black."""

    rows: Tensor  # (n,) int64, which images these are
    pixels: Tensor  # (n, TILE_SIZE²) uint8


class _Chunk(NamedTuple):
    """Some training images, laid out for the search."""

    squares: Tensor  # (m,) float64, squared norms
    tiles: list[_Tile]


def _search(images: Tensor, chunks: Sequence[_Chunk]) -> Neighbours:
    """The neighbours of one block of images, from |a - b|² = |a|² + |b|² - 2 a·b.

    Bytes are whole numbers, and so is every term: float32 holds the product of two tiles, below 2^24, and
    float64 the rest, without any rounding. So nothing is lost by cancellation, and copies are at 0.
    """
    tiles = _tiles(images).float()
    nearest = torch.zeros(len(images), dtype=torch.int64)
    smallest = torch.full((len(images),), torch.inf, dtype=torch.float64)  # of |b|² - 2 a·b
    start = 0
    for chunk in chunks:
        gaps = chunk.squares[:, None].repeat(1, len(images))
        for tile, (rows, pixels) in zip(tiles, chunk.tiles, strict=True):
            gaps.index_add_(0, rows, (pixels.float() @ tile.T).double(), alpha=-2)
        gap, row = gaps.min(0)
        nearer = gap < smallest
        smallest = gap.where(nearer, smallest)
        nearest = (start + row).where(nearer, nearest)
        start += len(chunk.squares)
    squares = smallest + _squares(tiles).sum(0)
    return Neighbours(nearest, (squares / images[0].numel()).sqrt() / 255)


def _read_chunk(images: Tensor) -> _Chunk:
    squares = torch.zeros(len(images), dtype=torch.float64)
    tiles = []
    for pixels in _tiles(images):
        rows = pixels.any(1).nonzero()[:, 0]
        tiles.append(_Tile(rows, pixels[rows]))
        squares.index_add_(0, rows, _squares(pixels[rows].float()))
    return _Chunk(squares, tiles)


def _squares(tiles: Tensor) -> Tensor:
    """Squared norms (...), float64, of tiles (..., TILE_SIZE²) float32 of whole numbers."""
    return tiles.square().sum(-1).double()


def _tiles(images: Tensor) -> Tensor:
    """Images (N, H, W, C) -> tiles of single channels (number of tiles, N, TILE_SIZE²), black past edges."""
    height, width = images.shape[1:3]
    images = F.pad(images, (0, 0, 0, -width % TILE_SIZE, 0, -height % TILE_SIZE))
    grid = images.unflatten(2, (-1, TILE_SIZE)).unflatten(1, (-1, TILE_SIZE))
    # (N, rows of tiles, TILE_SIZE, columns of tiles, TILE_SIZE, C)
    return grid.permute(1, 3, 5, 0, 2, 4).reshape(-1, len(images), TILE_SIZE**2)


def _check(images: Tensor, training: Tensor) -> None:
    for name, one in (("images", images), ("training images", training)):
        if one.ndim != 4 or one.dtype != torch.uint8:
            raise MxqvaeError(f"{name} must be (N, H, W, 3) torch.uint8, not {(*one.shape,)} {one.dtype}")
        if len(one) == 0:
            raise MxqvaeError(f"no {name} to compare; give at least one")
    if images.shape[1:] != training.shape[1:]:
        sizes = [f"{one.shape[2]}x{one.shape[1]}" for one in (images, training)]
        raise MxqvaeError(
            f"images are {sizes[0]} but the training images {sizes[1]}; give the data set of their model"
        )
