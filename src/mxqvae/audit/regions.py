"""Regions of an image: windows that are hidden in turn, as a map of heat and as a table.

W windows, G cells of a side of the grid of image latents.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mxqvae.audit.score_table import ScoredPair
from mxqvae.output_file import new_output_file

WINDOW_SHARE = 1 / 2
"""Side of a window, as a share of the image's."""

SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "row": pa.int64(),
        "caption_number": pa.int32(),
        "word_number": pa.int32(),
        "word": pa.string(),
        "left": pa.int32(),
        "top": pa.int32(),
        "width": pa.int32(),
        "height": pa.int32(),
        "score": pa.float32(),
    }
)
"""The columns: a pair as in `score_table`, one of its words by number and text, a window in pixels, and the
bits of the word that go when the window is hidden, below 0 where it vouches for the word."""


class Region(NamedTuple):
    """A window of an image, in its pixels, and what becomes of the caption when it is hidden."""

    left: int
    top: int
    width: int
    height: int
    word_bits: list[float]
    """Bits of each word of the caption that go; those below 0 vouch for the word."""


def windows_of(grid_size: int) -> Tensor:
    """The cells (W, G, G) of each window, bool, in row-major order.

    Args:
        grid_size: G.
    """
    side = max(1, round(grid_size * WINDOW_SHARE))
    starts = range(grid_size - side + 1)
    windows = torch.zeros(len(starts) ** 2, grid_size, grid_size, dtype=torch.bool)
    for window, (top, left) in zip(windows, ((top, left) for top in starts for left in starts), strict=True):
        window[top : top + side, left : left + side] = True
    return windows


def region_of(window: Tensor, cell_size: int, word_bits: list[float]) -> Region:
    """A window's region.

    Args:
        window: Its cells, (G, G) bool.
        cell_size: Pixels of a side of a cell.
    """
    top, left = window.nonzero()[0].tolist()
    height, width = int(window.any(1).sum()), int(window.any(0).sum())
    return Region(cell_size * left, cell_size * top, cell_size * width, cell_size * height, word_bits)


def heat_map(regions: Sequence[Region], grid_size: int) -> list[list[list[float]]]:
    """For each word G rows of G bits: a cell has the mean of the windows that cover it.

    Args:
        regions: Of all windows of one pair, in their order.
        grid_size: G.
    """
    covers = windows_of(grid_size).flatten(1).float()
    relief = torch.tensor([region.word_bits for region in regions])
    return (relief.T @ covers / covers.sum(0)).unflatten(1, (grid_size, grid_size)).tolist()


def write_regions(path: Path, pairs: Iterable[tuple[ScoredPair, Sequence[Region]]]) -> None:
    """Write a table of the warm words of some pairs, a row for each word and region; whole or not at all."""
    rows = [
        pair.key._asdict()
        | {name: value for name, value in region._asdict().items() if name in SCHEMA.names}
        | {"word_number": number, "word": (pair.words or [])[number], "score": region.word_bits[number]}
        for pair, regions in pairs
        for number in pair.warm_words
        for region in regions
    ]
    with new_output_file(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial)
