import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mxqvae.data.batch import to_floats
from mxqvae.data.pairs import PairDataset
from mxqvae.data.warping import WarpingConfig, warp


@pytest.fixture(scope="module")
def images(caption_mnist_small) -> Tensor:
    return to_floats(PairDataset.from_parquet(caption_mnist_small, "test").images[:16])


def warped(images: Tensor, seed: int = 0, distance: float = 1.0) -> Tensor:
    return warp(images, WarpingConfig(distance=distance), torch.Generator().manual_seed(seed))


def test_each_image_is_another_but_much_the_same(images: Tensor):
    new = warped(images)
    assert new.shape == images.shape
    assert float(new.min()) >= 0
    assert float(new.max()) <= 1
    assert not torch.equal(new, images)
    ink, new_ink = images.sum(dim=(2, 3)), new.sum(dim=(2, 3))
    assert float(((new_ink - ink).abs() / ink.clamp(min=1)).max()) < 0.35
    # Colours do not mix: where a channel has nothing near, it still has nothing.
    near = torch.nn.functional.max_pool2d(images, 11, stride=1, padding=5)
    assert float(new[near == 0].max()) == 0


def test_equal_images_are_warped_differently_and_a_seed_repeats_itself(images: Tensor):
    twins = images[:1].expand(2, -1, -1, -1)
    first = warped(twins)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, warped(twins))
    assert not torch.equal(first, warped(twins, seed=1))


def test_the_less_points_move_the_nearer_the_image_stays(images: Tensor):
    changes = [float((warped(images, distance=far) - images).abs().mean()) for far in (1e-4, 0.5, 1.0, 2.0)]
    assert changes == sorted(changes)
    assert changes[0] < 1e-4


def test_a_gradient_moves_as_far_as_its_points():
    """A ramp that rises by one a pixel tells how far each place has moved."""
    ramp = torch.arange(64.0).expand(64, 64)
    ramps = torch.stack([ramp, ramp.T])[None]
    moved = (warped(ramps, distance=1.0) - ramps)[0, :, 8:-8, 8:-8]
    assert 0.3 < float(moved.std()) < 1.5
    assert float(moved.diff(dim=1).abs().max()) < 0.5  # smooth


def test_what_is_unknown_stays_unknown(images: Tensor):
    some = images[:2].clone()
    some[0] = torch.nan
    new = warped(some)
    assert bool(new[0].isnan().all())
    assert not bool(new[1].isnan().any())


def test_images_need_not_be_square():
    assert warped(torch.rand(2, 3, 32, 48)).shape == (2, 3, 32, 48)


@pytest.mark.parametrize(("name", "value"), [("spacing", 1), ("distance", 0)])
def test_impossible_settings_are_refused(name: str, value: int):
    with pytest.raises(ValidationError, match=name):
        WarpingConfig(**{name: value})
