"""Warps the images of a batch a little, each in its own way, so that shapes are seen that no image has.

A grid of points over the image is moved at random, and the image between them moves smoothly along (elastic
distortions: Simard, Steinkraus and Platt 2003, section 2). Training only.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mxqvae.config import configuration


@configuration
class WarpingConfig:
    """How far images are warped."""

    spacing: Annotated[int, Field(ge=2)] = 16
    """Pixels between two points of the grid: half the width of a digit's cell."""
    distance: Annotated[float, Field(gt=0)] = 1.0
    """Pixels that a point moves to each side, the standard deviation of a normal draw."""


def warp(images: Tensor, config: WarpingConfig, generator: torch.Generator | None = None) -> Tensor:
    """Warped `images` (B, C, H, W); what comes in over an edge repeats the edge, what is NaN stays NaN."""
    height, width = images.shape[2:]
    points = (height // config.spacing + 1, width // config.spacing + 1)
    moves = torch.randn(len(images), 2, *points, generator=generator) * config.distance
    moves = functional.interpolate(moves, (height, width), mode="bicubic", align_corners=True)
    # `grid_sample` counts from -1 to 1 between the outer edges, x before y.
    pixels = moves.permute(0, 2, 3, 1) * (2 / torch.tensor([width, height]))
    rows = (2 * torch.arange(height) + 1) / height - 1
    columns = (2 * torch.arange(width) + 1) / width - 1
    here = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    return functional.grid_sample(images, here + pixels, padding_mode="border", align_corners=False)
