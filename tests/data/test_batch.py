import numpy as np
import torch

from mxqvae.data.batch import mirror_half, to_bytes, to_floats


def test_pixels_become_shares_of_full_intensity():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert to_floats(images).equal(torch.tensor([0, 0.2, 1]).view(1, 3, 1, 1))


def test_bytes_to_floats_to_bytes():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8))
    assert to_floats(images).shape == (2, 3, 4, 6)
    assert to_bytes(to_floats(images)).equal(images)


def test_about_half_of_the_images_are_mirrored():
    images = torch.rand(200, 3, 2, 4)
    torch.manual_seed(3)
    seen = mirror_half(images)
    is_mirrored = (seen == images.flip(3)).flatten(1).all(1)
    assert (seen == images).flatten(1).all(1).equal(~is_mirrored)
    assert 70 < is_mirrored.sum() < 130
    torch.manual_seed(3)
    assert mirror_half(images).equal(seen)
