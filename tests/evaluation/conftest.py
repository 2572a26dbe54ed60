"""Feature space and sentence encoder, loaded once, and cheap ones in their place."""

import re
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.evaluation.sentence_encoder import MiniLMEncoder
from mxqvae.progress import NoProgress, Progress


@pytest.fixture(scope="session")
def efficientnet_features() -> EfficientNetFeatures:
    """The real feature space. Shared: tests do not change it."""
    return EfficientNetFeatures.from_package()


@pytest.fixture(scope="session")
def minilm() -> MiniLMEncoder:
    """The real sentence encoder. Shared: tests do not change it."""
    return MiniLMEncoder.from_package()


class MeanColour:
    """A feature space of three numbers: images are near each other by their mean colour."""

    name = "mean colour"

    def extract(self, images: Tensor, description: str, *, progress: Progress = NoProgress()) -> Tensor:
        with progress.task(description, total=len(images), unit="images") as advance:
            advance(len(images))
        return images.float().mean(dim=(1, 2)) / 255


class BagOfWords:
    """A sentence encoder that knows 64 words, by the sums of their letters."""

    name = "bag of words"

    def encode(self, captions: Sequence[str]) -> Tensor:
        vectors = torch.zeros(len(captions), 64)
        for row, caption in enumerate(captions):
            for word in re.findall(r"\w+", caption.lower()):
                vectors[row, sum(word.encode()) % 64] += 1
        return F.normalize(vectors, dim=1)


@pytest.fixture
def mean_colour() -> MeanColour:
    return MeanColour()


@pytest.fixture
def bag_of_words() -> BagOfWords:
    return BagOfWords()
