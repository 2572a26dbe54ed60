"""Convolutions that change resolution, in the form that is fast on a CPU, and the residual block.

B batch, C channels, H height, W width in cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DownsamplingConvolution(nn.Module):
    """Convolution of kernel 2s, stride s, padding s/2: H x W cells become H/s x W/s.

    Computed as pad, pixel-unshuffle by s, 2x2 convolution: the same function with the same number of weights.
    With two threads the bf16 backward of strided convolutions was up to 11 times slower (32 -> 64 channels);
    on one thread there is little between them. `mxqvae bench` measures both on the machine at hand.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(in_channels * stride**2, out_channels, kernel_size=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/s, W/s)."""
        return self.convolution(F.pixel_unshuffle(F.pad(x, [self.stride // 2] * 4), self.stride))


class UpsamplingConvolution(nn.Module):
    """Transposed convolution of kernel 2s, stride s, padding s/2: H x W cells become H·s x W·s.

    Computed as a full 2x2 convolution, pixel-shuffle by s, crop: see `DownsamplingConvolution`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(
            in_channels, out_channels * stride**2, kernel_size=2, padding=1, bias=False
        )
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H·s, W·s)."""
        bias = self.bias.repeat_interleave(self.stride**2)
        cells = F.conv2d(x, self.convolution.weight, bias, padding=1)
        return F.pad(F.pixel_shuffle(cells, self.stride), [-(self.stride // 2)] * 4)


class ResidualBlock(nn.Module):
    """y = r + Conv1x1(ReLU(Conv3x3(r))) with r = ReLU(x).

    The skip carries ReLU(x), not x: in the official code the first ReLU works in place.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.projection = nn.Conv2d(channels, channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = F.relu(x)
        return x + self.projection(F.relu(self.convolution(x)))
