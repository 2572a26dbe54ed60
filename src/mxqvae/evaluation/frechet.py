"""Frechet distance between two sets of images, in a declared feature space (Heusel et al. 2017).

Both sets are taken for samples of normal distributions:

    d² = |m₁ - m₂|² + tr C₁ + tr C₂ - 2 tr (C₁ C₂)^½

It is d² that is reported, as is usual. It falls with the number of images even where both sets come from one
source: figures compare only at equal numbers.

N images, F features.
"""

import math

import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """d² of the features (N, F) and (N', F) of two sets; at least 0, and 0 for one set held against itself.

    With C₁ = R₁ᵀ R₁ and C₂ = R₂ᵀ R₂ the trace of the root is the sum of the singular values of R₁ R₂ᵀ: no
    root is taken of a product that rounding has made indefinite, and few images are quickly compared.

    Raises:
        MxqvaeError: A set of fewer than two images.
    """
    for features in (first, second):
        if len(features) < 2:
            raise MxqvaeError(
                f"a Frechet distance is between sets of two or more images, got {len(features)}"
            )
    first_mean, first_root = _moments(first.double())
    second_mean, second_root = _moments(second.double())
    shared = torch.linalg.svdvals(first_root @ second_root.T).sum()
    traces = first_root.square().sum() + second_root.square().sum()
    return max(0.0, float((first_mean - second_mean).square().sum() + traces - 2 * shared))


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F) and a root R (min(N, F), F) of the covariance, Rᵀ R."""
    mean = features.mean(0)
    return mean, torch.linalg.qr((features - mean) / math.sqrt(len(features) - 1), mode="r").R
