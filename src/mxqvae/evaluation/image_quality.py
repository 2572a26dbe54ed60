"""How near images from stage 1 come to what went in, and how real a set of images looks.

Pixel values are taken in [0, 1]. Of each reconstructed image two figures, and their means over the images:

    PSNR = -10 log₁₀ of the mean squared error, in decibels
    SSIM = structural similarity (Wang et al. 2004, equation 13), of each colour channel, averaged

Both compare a picture with the one it should be, and a blurred one loses little by them; the Frechet distance
compares whole sets in a feature space, where blur shows.

B images, C channels, H and W pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.data.batch import to_floats
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.frechet import frechet_distance
from mxqvae.evaluation.image_features import ImageFeatures
from mxqvae.progress import NoProgress, Progress

WINDOW_SIZE = 11
"""Pixels a side of SSIM's Gaussian window."""
WINDOW_DEVIATION = 1.5
"""Its standard deviation, in pixels."""
STABILISERS = (0.01**2, 0.03**2)
"""SSIM's C₁ and C₂, for values in [0, 1]."""
LEAST_SQUARED_ERROR = 1 / 12 / 255**2
"""Mean square of the rounding to bytes: with a smaller error two images cannot be told apart. 58.9 dB."""
IMAGES_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class SetDistance:
    """A set of images beside real ones."""

    num_images: int
    """Images of the set."""
    num_real: int
    """Real images."""
    frechet_distance: float
    """Squared, see `frechet`; at least 0."""


@dataclass(frozen=True, kw_only=True)
class ImageQualityScore:
    """What stage 1 makes of real images; `dataclasses.asdict` of it is plain JSON."""

    num_images: int
    """Images encoded and decoded."""
    psnr: float
    """Mean peak signal-to-noise ratio, in decibels, 58.9 at most."""
    ssim: float
    """Mean structural similarity, 1 at most."""
    feature_space: str
    """Where the Frechet distances are measured."""
    reconstructed: SetDistance
    """Decoded images beside what went in."""
    samples: SetDistance | None
    """Sampled images beside the same real ones; None where not given."""


def measure_image_quality(
    images: Tensor,
    reconstructed: Tensor,
    features: ImageFeatures,
    samples: Tensor | None = None,
    *,
    progress: Progress = NoProgress(),
) -> ImageQualityScore:
    """Compare real images with what stage 1 makes of them, and with samples.

    Args:
        images: Real images, (N, H, W, 3) uint8.
        reconstructed: The same, encoded and decoded.
        samples: Sampled images, (M, H', W', 3) uint8.

    Raises:
        MxqvaeError: Fewer than two images, images that differ in shape or are smaller than SSIM's window.
    """
    if images.shape != reconstructed.shape:
        raise MxqvaeError(
            f"images of shape {tuple(images.shape)} came back as {tuple(reconstructed.shape)}; give a model "
            "of the data set's image size"
        )
    batches = zip(images.split(IMAGES_AT_A_TIME), reconstructed.split(IMAGES_AT_A_TIME), strict=True)
    psnrs, ssims = [], []
    for each, back in batches:
        floats = to_floats(each), to_floats(back)
        psnrs.append(psnr(*floats))
        ssims.append(ssim(*floats))
    real = features.extract(images, "features of real images", progress=progress)

    def distance(others: Tensor, description: str) -> SetDistance:
        found = features.extract(others, description, progress=progress)
        return SetDistance(
            num_images=len(others), num_real=len(images), frechet_distance=frechet_distance(real, found)
        )

    return ImageQualityScore(
        num_images=len(images),
        psnr=float(torch.cat(psnrs).mean()),
        ssim=float(torch.cat(ssims).mean()),
        feature_space=features.name,
        reconstructed=distance(reconstructed, "features of reconstructed images"),
        samples=None if samples is None else distance(samples, "features of samples"),
    )


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (B), in decibels, of images (B, C, H, W) in [0, 1]; 58.9 for equal ones."""
    errors = (first.double() - second.double()).square().mean(dim=(1, 2, 3))
    return -10 * errors.clamp(min=LEAST_SQUARED_ERROR).log10()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (B), in [-1, 1], of images (B, C, H, W) in [0, 1], where the window fits whole.

    Raises:
        MxqvaeError: Images smaller than the window.
    """
    if min(first.shape[2:]) < WINDOW_SIZE:
        height, width = first.shape[2:]
        raise MxqvaeError(
            f"SSIM takes images of {WINDOW_SIZE} x {WINDOW_SIZE} pixels or more, not {width} x {height}"
        )
    x, y = first.double(), second.double()
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = STABILISERS
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _blur(images: Tensor) -> Tensor:
    """Mean (B, C, H', W') under the Gaussian window at every place where it fits whole."""
    steps = torch.arange(WINDOW_SIZE, dtype=images.dtype) - WINDOW_SIZE // 2
    window = torch.exp(-(steps**2) / (2 * WINDOW_DEVIATION**2))
    window = window / window.sum()
    channels = images.shape[1]
    rows = F.conv2d(images, window.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, window[:, None].expand(channels, 1, -1, 1), groups=channels)
