"""A perceptual loss: how far an image is from another to a network that knows photos.

The mean squared error of pixels is least where a picture is the mean of all that it might be: blurred. The
features of a network tell a blurred texture from a sharp one. This is LPIPS (Zhang et al. 2018, equation 1)
without the learned weights of its channels, in early layers of EfficientNet-Lite0, whose weights the extra
`perceptual` brings. The paper has no such loss.

B images, H and W pixels.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mxqvae.autoencoder.image import normalise, undo_normalise
from mxqvae.layers.efficientnet import installed_efficientnet, to_network_input

NUM_STAGES = 3
"""Stages of the network that are compared: 16, 24 and 40 features of 2 x 2, 4 x 4 and 8 x 8 pixels."""


def perceptual_loss(normalised: Tensor, target: Tensor) -> Tensor:
    """Squared distance between unit vectors of features, mean over places and stages; in [0, 4].

    Args:
        normalised: Decoded images, (B, 3, H, W), whose gradient passes through the network.
        target: Images in [0, 1], (B, 3, H, W); unknown pixels, NaN, are left out of the mean.

    Raises:
        MxqvaeError: The network's package is not installed.
    """
    known = ~target.isnan()
    with torch.no_grad():
        wanted = _features(torch.where(known, normalise(target), 0.0))
    found = _features(torch.where(known, normalised.float(), 0.0))
    # What is unknown looks the same in both: it adds nothing above, and must not count below.
    distances = [(a - b).square().sum(1).mean((1, 2)).sum() for a, b in zip(wanted, found, strict=True)]
    num_known_images = known.sum().clamp(min=1) / known[0].numel()
    return torch.stack(distances).mean() / num_known_images


@cache
def feature_stages(device: torch.device) -> tuple[nn.Sequential, ...]:
    """The network's first stages on `device`, frozen.

    They are part of no model: all models of a process read the same ones, and none saves or trains them.

    Raises:
        MxqvaeError: The network's package is not installed.
    """
    network = installed_efficientnet("a perceptual loss", "perceptual")
    return tuple(stage.requires_grad_(False).to(device) for stage in network.first_stages(NUM_STAGES))


def _features(normalised: Tensor) -> list[Tensor]:
    """Unit vectors (B, C, H', W') of each stage at each place, of normalised images (B, 3, H, W)."""
    features = to_network_input(undo_normalise(normalised))
    features = features.contiguous(memory_format=torch.channels_last)  # a quarter faster on a CPU
    units = []
    for stage in feature_stages(normalised.device):
        features = stage(features)
        units.append(F.normalize(features.float(), dim=1))
    return units
