import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.frechet import frechet_distance


def draw_features(num: int, size: int = 6, seed: int = 0) -> Tensor:
    """Correlated features of different variances."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, size, generator=generator) @ torch.randn(size, size, generator=generator)


def by_scipy(first: Tensor, second: Tensor) -> float:
    """The formula as it stands, with the root of the product."""
    x, y = first.double().numpy(), second.double().numpy()
    covariances = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * root))


@pytest.mark.parametrize("size", [2, 6, 40])
def test_it_is_what_the_formula_gives_with_scipys_root(size: int):
    first, second = draw_features(100, size, seed=1), draw_features(70, size, seed=2) + 1
    assert frechet_distance(first, second) == pytest.approx(by_scipy(first, second), rel=1e-9)


def test_one_feature_has_a_closed_form():
    first, second = draw_features(50, 1, seed=1).double(), 3 + 2 * draw_features(60, 1, seed=2).double()
    expected = (first.mean() - second.mean()) ** 2 + (first.std() - second.std()) ** 2
    assert frechet_distance(first, second) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("num", [2, 4, 100])  # the first two are fewer than the features
def test_a_set_has_no_distance_from_itself_in_any_order(num: int):
    features = draw_features(num)
    assert 0 <= frechet_distance(features, features.flip(0)) < 1e-9


def test_moving_a_set_costs_the_square_of_the_way():
    features, way = draw_features(100).double(), torch.arange(6).double()
    assert frechet_distance(features, features + way) == pytest.approx(float(way @ way), rel=1e-6)


def test_either_set_may_come_first():
    first, second = draw_features(9, seed=1), draw_features(3, seed=2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


@pytest.mark.parametrize("nums", [(1, 9), (9, 0)])
def test_a_single_image_has_no_spread(nums: tuple[int, int]):
    with pytest.raises(MxqvaeError, match=f"two or more images, got {min(nums)}"):
        frechet_distance(*(draw_features(num) for num in nums))
