"""Trains the judge's digit classifier on MNIST's training digits, warped and worn.

A generated digit is a little blurred, shifted or pale where a scanned one is not. A person reads it all the
same, so the classifier learns from digits under such changes, and never from samples.

B digits, drawn on cells of S = 32 pixels a side.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.config import to_json
from mxqvae.data.mnist import Mnist
from mxqvae.evaluation.digit_classifier import CELL_SIZE, DigitBatch, DigitClassifier
from mxqvae.evaluation.judge import Judge, JudgeConfig, JudgeRecord, digit_accuracy, digit_cells
from mxqvae.progress import Progress
from mxqvae.training.loop import train

MAX_ROTATION = math.radians(12)
"""Either way."""
MAX_LOG_SCALE = 0.12
"""Larger or smaller, as a logarithm."""
MAX_LOG_STRETCH = 0.1
"""Of width against height, as a logarithm."""
MAX_SHEAR = 0.15
"""Pixels sideways for each pixel down."""
MAX_SHIFT = 2.5
"""Pixels, either way."""
MAX_ELASTIC_SHIFT = 1.0
"""Pixels: standard deviation of the most elastic warp (Simard et al. 2003)."""
ELASTIC_GRID_SIZE = 6
"""Points a side at which an elastic warp is drawn; smooth between them."""
BLUR_RADIUS = 1.0
"""Pixels: standard deviation of the blur that is mixed in."""
MAX_GAIN_CHANGE = 0.3
"""Brighter (and clipped) or paler."""
MAX_NOISE = 0.06
"""Standard deviation of the intensity's noise."""


def train_judge(
    mnist: Mnist, config: JudgeConfig, folder: Path, *, progress: Progress | None = None
) -> Judge:
    """Train a judge and measure it on the test digits.

    The weights are rounded to float16 before they are measured: what is stored is what was measured.

    Args:
        folder: Takes the checkpoint, from which the same call resumes, and the log.

    Raises:
        MxqvaeError: The folder's checkpoint is damaged or of another run.
    """
    torch.manual_seed(config.training.seed)
    classifier = DigitClassifier(config.classifier)
    images, labels = torch.tensor(mnist.train.images), torch.tensor(mnist.train.labels).long()

    def batch_of(rows: Tensor) -> DigitBatch:
        return DigitBatch(wear_digits(warp_digits(digit_cells(images[rows]))), labels[rows])

    seconds = train(
        classifier,
        batch_of,
        len(labels),
        config.training,
        folder,
        identity=to_json(config),
        description="train judge",
        progress=progress,
    )
    classifier.half().float()
    accuracy = digit_accuracy(classifier.eval(), mnist.test)
    return Judge(
        classifier, JudgeRecord(config=config, test_accuracy=accuracy, training_seconds=round(seconds, 1))
    )


def warp_digits(cells: Tensor) -> Tensor:
    """Rotate, scale, stretch, shear, shift and bend each of the cells (B, 1, S, S) by its own amount."""
    num = len(cells)
    turn = uniform(num, MAX_ROTATION)
    scale, stretch = uniform(num, MAX_LOG_SCALE), uniform(num, MAX_LOG_STRETCH)
    width, height = torch.exp(scale + stretch), torch.exp(scale - stretch)
    rows = torch.stack(
        [
            turn.cos() * width,
            (uniform(num, MAX_SHEAR) - turn.sin()) * width,
            _to_grid(uniform(num, MAX_SHIFT)),
            turn.sin() * height,
            turn.cos() * height,
            _to_grid(uniform(num, MAX_SHIFT)),
        ],
        dim=-1,
    )
    grid = F.affine_grid(rows.view(num, 2, 3), list(cells.shape), align_corners=False)
    strength = _to_grid(MAX_ELASTIC_SHIFT * torch.rand(num, 1, 1, 1))
    coarse = torch.randn(num, 2, ELASTIC_GRID_SIZE, ELASTIC_GRID_SIZE) * strength
    bend = F.interpolate(coarse, size=cells.shape[2:], mode="bicubic", align_corners=True)
    return F.grid_sample(cells, grid + bend.permute(0, 2, 3, 1), align_corners=False)


def wear_digits(cells: Tensor) -> Tensor:
    """Blur, brighten or pale, and add noise to the cells (B, 1, S, S); half of them get no noise."""
    blur = uniform(len(cells), 0.75, centre=0.25).clamp(min=0).view(-1, 1, 1, 1)
    noise = uniform(len(cells), MAX_NOISE, centre=0.0).clamp(min=0).view(-1, 1, 1, 1)
    gain = 1 + uniform(len(cells), MAX_GAIN_CHANGE).view(-1, 1, 1, 1)
    cells = torch.lerp(cells, blur_digits(cells, BLUR_RADIUS), blur)
    return ((cells * gain).clamp(max=1) + noise * torch.randn_like(cells)).clamp(0, 1)


def blur_digits(cells: Tensor, radius: float) -> Tensor:
    """Gaussian blur of cells (B, 1, S, S) with standard deviation `radius`, in pixels."""
    reach = math.ceil(3 * radius)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * radius**2))
    kernel = kernel / kernel.sum()
    rows = F.conv2d(cells, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(rows, kernel.view(1, 1, -1, 1), padding=(reach, 0))


def uniform(num: int, spread: float, centre: float = 0.0) -> Tensor:
    """Draws (num) from the uniform distribution on centre +- spread."""
    return centre + spread * (2 * torch.rand(num) - 1)


def _to_grid(pixels: Tensor) -> Tensor:
    """Pixels in the units of `grid_sample`, where a cell is 2 wide."""
    return pixels * (2 / CELL_SIZE)
