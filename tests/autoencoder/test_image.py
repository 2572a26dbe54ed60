from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from mxqvae.autoencoder.image import (
    ImageConfig,
    ImageDecoder,
    ImageEncoder,
    denormalise,
    hide_unknown,
    image_loss,
    normalise,
    undo_normalise,
)

SMALL = ImageConfig(image_size=32, strides=(4, 2), widths=(6, 8), num_residual_blocks=1)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_paper_s_sizes():
    assert num_parameters(ImageEncoder(ImageConfig(), 128)) == 5_214_016
    assert num_parameters(ImageDecoder(ImageConfig(), 128)) == 4_885_955


def test_a_latent_covers_a_cell():
    assert (ImageConfig().cell_size, ImageConfig().grid_size) == (8, 8)
    assert (SMALL.cell_size, SMALL.grid_size) == (8, 4)


def test_shapes():
    images = torch.randn(2, 3, 32, 32)
    latents = ImageEncoder(SMALL, 5)(images)
    assert latents.shape == (2, 16, 5)
    assert ImageDecoder(SMALL, 5)(latents).shape == images.shape


def test_latents_stand_in_row_major_order():
    """A change in one corner of the image changes the latents of that corner, and none far from it."""
    encoder = ImageEncoder(ImageConfig(image_size=64, strides=(8,), widths=(4,), num_residual_blocks=0), 3)
    image = torch.randn(1, 3, 64, 64)
    changed = image.clone()
    changed[:, :, :8, -8:] += 1  # upper right: cell 7 of the first row
    moved = (encoder(changed) - encoder(image)).abs().sum(-1).view(8, 8) > 0
    assert moved[0, 7]
    assert not moved[:, :4].any()
    assert not moved[4:].any()


def test_codes_stand_in_row_major_order():
    decoder = ImageDecoder(ImageConfig(image_size=64, strides=(8,), widths=(4,), num_residual_blocks=0), 3)
    codes = torch.randn(1, 64, 3)
    changed = codes.clone()
    changed[:, 7] += 1
    moved = (decoder(changed) - decoder(codes)).abs().sum(1)[0] > 0
    assert moved[:8, -8:].any()
    assert not moved[:, :32].any()
    assert not moved[32:].any()


@given(st.integers(0, 2**32))
def test_normalising_is_undone(seed: int):
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(denormalise(normalise(images)), images)


def test_normal_images_have_imagenet_s_mean_and_deviation():
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(mean), torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(normalise(mean + deviation), torch.ones(1, 3, 2, 2))


def test_images_come_back_in_their_range():
    images = denormalise(100 * torch.randn(2, 3, 8, 8, dtype=torch.bfloat16))
    assert images.dtype == torch.float32
    assert float(images.min()) == 0
    assert float(images.max()) == 1


def test_undoing_alone_leaves_them_beyond_it():
    beyond = torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1).expand(1, 3, 3, 2, 2)[:, :, 0]
    torch.testing.assert_close(undo_normalise(normalise(beyond)), beyond)


def test_the_loss_is_taken_in_normalised_space():
    target = torch.rand(2, 3, 4, 4)
    assert float(image_loss(normalise(target), target)) == 0
    other = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(image_loss(other, target), F.mse_loss(other, normalise(target)))


def test_the_loss_leaves_unknown_pixels_out():
    target, decoded = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4, requires_grad=True)
    target[0, :, :2], target[1] = torch.nan, torch.nan
    loss = image_loss(decoded, target)
    torch.testing.assert_close(loss, F.mse_loss(decoded[:1, :, 2:], normalise(target[:1, :, 2:])))
    loss.backward()
    assert decoded.grad is not None
    assert decoded.grad[0, :, 2:].all()
    assert not decoded.grad[0, :, :2].any()
    assert not decoded.grad[1].any()


def test_a_batch_without_images_teaches_nothing():
    assert float(image_loss(torch.randn(2, 3, 4, 4), torch.full((2, 3, 4, 4), torch.nan))) == 0


def test_unknown_pixels_look_like_masked_ones():
    images = torch.rand(1, 3, 4, 4)
    images[..., 1:, :] = torch.nan
    hidden = hide_unknown(normalise(images))
    assert hidden[..., 0, :].equal(normalise(images)[..., 0, :])
    assert not hidden[..., 1:, :].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": (2, 2)}, "strides and widths must be equally many"),
        ({"strides": (), "widths": ()}, "at least one of each"),
        ({"strides": (2, 2, 3)}, "strides must be even"),
        ({"image_size": 60}, "image_size 60 is not a multiple of 8, the strides' product"),
        ({"widths": (64, 0, 256)}, "greater than or equal to 1"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        ImageConfig(**change)
