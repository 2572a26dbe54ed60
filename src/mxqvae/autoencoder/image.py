"""Image encoder and decoder: pixels <-> a grid of latents.

B batch, H and W pixels, H' and W' cells of the latent grid, D channels of a latent.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration
from mxqvae.errors import MxqvaeError
from mxqvae.layers.convolution import DownsamplingConvolution, ResidualBlock, UpsamplingConvolution


@configuration
class ImageConfig:
    """Convolutional encoder and its mirror image; the defaults are the paper's sizes (official code)."""

    image_size: Annotated[int, Field(ge=8)] = 64
    """Height and width, in pixels."""
    strides: tuple[int, ...] = (2, 2, 2)
    """Factor by which each convolution lowers the resolution; their product is the pixels a latent covers."""
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (64, 128, 256)
    """Channels after each of them."""
    num_residual_blocks: Annotated[int, Field(ge=0)] = 6
    """Residual blocks at the resolution of the latents, in the encoder and again in the decoder."""

    def __post_init__(self) -> None:
        if not self.strides or len(self.strides) != len(self.widths):
            raise ValueError("strides and widths must be equally many, at least one of each")
        if any(stride < 2 or stride % 2 for stride in self.strides):
            raise ValueError("strides must be even")
        if self.image_size % self.cell_size:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of {self.cell_size}, the strides' product"
            )

    @property
    def cell_size(self) -> int:
        """Height and width, in pixels, of the patch that one latent covers."""
        return math.prod(self.strides)

    @property
    def grid_size(self) -> int:
        """Height and width of the latent grid, in cells."""
        return self.image_size // self.cell_size


class ImageEncoder(nn.Module):
    """Strided convolutions, one 3x3, residual blocks, a projection to the latents' channels."""

    def __init__(self, config: ImageConfig, latent_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stride, width in zip(config.strides, config.widths, strict=True):
            layers += [DownsamplingConvolution(channels, width, stride), nn.ReLU()]
            channels = width
        layers += [nn.Conv2d(channels, channels, kernel_size=3, padding=1)]
        layers += [ResidualBlock(channels) for _ in range(config.num_residual_blocks)]
        layers += [nn.ReLU(), nn.Conv2d(channels, latent_size, kernel_size=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised `images` (B, 3, H, W) -> latents in row-major order (B, H'·W', D)."""
        return self.layers(images).flatten(2).transpose(1, 2)


class ImageDecoder(nn.Module):
    """The encoder's mirror image: 3x3 convolution, residual blocks, transposed convolutions."""

    def __init__(self, config: ImageConfig, latent_size: int) -> None:
        super().__init__()
        self.grid_size = config.grid_size
        channels = config.widths[-1]
        layers: list[nn.Module] = [nn.Conv2d(latent_size, channels, kernel_size=3, padding=1)]
        layers += [ResidualBlock(channels) for _ in range(config.num_residual_blocks)]
        outputs = [*config.widths[-2::-1], 3]
        for stride, width in zip(config.strides[::-1], outputs, strict=True):
            layers += [nn.ReLU(), UpsamplingConvolution(channels, width, stride)]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Code vectors in row-major order (B, H'·W', D) -> normalised images (B, 3, H, W), unbounded."""
        grid = codes.transpose(1, 2).unflatten(2, (self.grid_size, self.grid_size))
        return self.layers(grid)


_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def check_image_size(width: int, height: int, size: int) -> None:
    """Refuse images of `width` x `height` pixels where a model takes `size` x `size`.

    Raises:
        MxqvaeError: Says what to give instead.
    """
    if (width, height) != (size, size):
        raise MxqvaeError(
            f"images of {width} x {height} pixels, the model takes {size} x {size}; give other weights "
            f"(--weights), or a data set built with --image-size {size}"
        )


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] (B, 3, H, W) -> ImageNet-normalised, the space of the official loss."""
    mean, deviation = images.new_tensor(_MEAN)[:, None, None], images.new_tensor(_DEVIATION)[:, None, None]
    return (images - mean) / deviation


def denormalise(images: Tensor) -> Tensor:
    """Normalised images (B, 3, H, W) -> float32 in [0, 1]."""
    return undo_normalise(images).clamp(0, 1)


def undo_normalise(images: Tensor) -> Tensor:
    """Normalised images (B, 3, H, W) -> float32, beyond [0, 1] where a decoder went too far."""
    images = images.float()
    mean, deviation = images.new_tensor(_MEAN)[:, None, None], images.new_tensor(_DEVIATION)[:, None, None]
    return images * deviation + mean


def hide_unknown(normalised: Tensor) -> Tensor:
    """Zero, which is what input masking shows the encoder, where `normalised` (B, 3, H, W) is NaN."""
    return torch.nan_to_num(normalised, nan=0.0)


def image_loss(normalised: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, in normalised space (official code), of `normalised` (B, 3, H, W).

    `target` (B, 3, H, W) is in [0, 1]; its unknown pixels, NaN, are left out of the mean.
    """
    target = normalise(target)
    known = ~target.isnan()
    # Chosen before squaring: the gradient of a square at NaN is NaN, whatever is chosen after.
    errors = torch.where(known, normalised.float() - target, 0.0)
    return errors.square().sum() / known.sum().clamp(min=1)
