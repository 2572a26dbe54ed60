"""Frechet distance between two sets of images, in a declared feature space (Heusel et al. 2017).

Both sets are taken for samples of normal distributions:

    d² = |m₁ - m₂|² + tr C₁ + tr C₂ - 2 tr (C₁ C₂)^½

It is d² that is reported, as is usual. It falls with the number of images even where both sets come from one
source: figures compare only at equal numbers.

N images, F features.
"""

import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """d² of the features (N, F) and (N', F) of two sets; at least 0, and 0 for one set held against itself.

    The trace of the root is the sum of the singular values of C₁^½ C₂^½, with each root symmetric: no root is
    taken of a product that rounding has made indefinite.

    Raises:
        MxqvaeError: A set of fewer than two images.
    """
    for features in (first, second):
        if len(features) < 2:
            raise MxqvaeError(
                f"a Frechet distance is between sets of two or more images, got {len(features)}"
            )
    means, covariances = zip(*(_moments(features.double()) for features in (first, second)), strict=True)
    roots = [symmetric_root(covariance) for covariance in covariances]
    shared = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    traces = sum(covariance.trace() for covariance in covariances)
    return max(0.0, float((means[0] - means[1]).square().sum() + traces - 2 * shared))


def symmetric_root(matrix: Tensor) -> Tensor:
    """The symmetric root of a symmetric positive semidefinite matrix (F, F)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean(0), torch.cov(features.T).reshape(features.shape[1], features.shape[1])
