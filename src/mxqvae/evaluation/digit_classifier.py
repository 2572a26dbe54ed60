"""Which digit a cell shows: a small convolutional network over ink intensity.

B batch, C channels, H and W pixels.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration

CELL_SIZE = 32
"""Pixels a side of a cell, which holds one digit."""
NUM_DIGITS = 10
LABEL_SMOOTHING = 0.05
"""Probability mass spread over all digits in training: a warped digit may be another."""


@configuration
class DigitClassifierConfig:
    """Width of the three stages, at 16, 8 and 4 pixels a side."""

    widths: Annotated[tuple[int, int, int], Field(strict=False)] = (32, 64, 128)
    """Channels of each stage."""


class DigitBatch(NamedTuple):
    """Cells to learn from."""

    cells: Tensor
    """Ink intensity in [0, 1], (B, 1, 32, 32)."""
    labels: Tensor
    """Digits 0 to 9, (B) int64."""


class DigitLosses(NamedTuple):
    """Scalars of one batch."""

    total: Tensor
    """Smoothed cross-entropy, nats a digit."""
    digits_right: Tensor
    """Share of cells whose most likely digit is right."""


class DigitClassifier(nn.Module):
    """Three stages of two 3x3 convolutions; the first sees 2x2 pixels as four channels."""

    def __init__(self, config: DigitClassifierConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.features = nn.Sequential(
            *_stage(4, first),
            nn.MaxPool2d(2),
            *_stage(first, second),
            nn.MaxPool2d(2),
            *_stage(second, third),
        )
        self.output = nn.Linear(third, NUM_DIGITS)

    def forward(self, cells: Tensor) -> Tensor:
        """Logits (B, 10) of cells of ink intensity in [0, 1], (B, 1, 32, 32)."""
        # Twice as fast on a CPU with the channels last in memory.
        patches = F.pixel_unshuffle(cells, 2).contiguous(memory_format=torch.channels_last)
        return self.output(self.features(patches).mean(dim=(2, 3)))

    def loss(self, batch: DigitBatch) -> DigitLosses:
        """Cross-entropy with label smoothing."""
        logits = self(batch.cells).float()
        total = F.cross_entropy(logits, batch.labels, label_smoothing=LABEL_SMOOTHING)
        return DigitLosses(total, (logits.argmax(-1) == batch.labels).float().mean())

    def summarise(self, sums: DigitLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return {name: float(value) / num_steps for name, value in sums._asdict().items()}


def _stage(in_channels: int, out_channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return layers
