"""What to build from captioned images, and what was built."""

from mxqvae.config import configuration
from mxqvae.data.captioned_images.problems import ProblemCount
from mxqvae.data.captioned_images.shards import SplitCounts

VERSION = 2
"""Raised whenever the same source and seed would give another data set than before."""


@configuration
class CaptionedImagesConfig:
    """What to build."""

    image_size: int = 64
    """Side of the square images in pixels."""
    test_share: float = 0.1
    """Share of the images that are for testing, in [0, 1); a published split goes before it."""
    seed: int = 0
    """Decides the split and the pairs of the contact sheet, 0 or more."""
    max_length: int | None = None
    """Tokens of a caption, [END] included; None for what 99.5% of the training captions need (all captions of
    every split where `strict`), rounded up to a multiple of 8."""
    vocab_size: int | None = None
    """Token ids; None for the bytes and as many subwords as there are words that occur five times."""
    new_splits: bool = False
    """Deal every image, whatever splits the source names."""
    strict: bool = False
    """Stop on the first problem of any kind."""
    pairing_note: str | None = None
    """What captions belong to where that is not their image, such as its species; said beside figures."""

    def __post_init__(self) -> None:
        for name, minimum in (("image_size", 8), ("seed", 0), ("max_length", 2), ("vocab_size", 1)):
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name} must be at least {minimum}")
        if self.image_size % 8:
            raise ValueError("image_size must be a multiple of 8, as models take no other")
        if not 0 <= self.test_share < 1:
            raise ValueError("test_share must be at least 0 and below 1")


@configuration
class TokenizerCounts:
    """The tokenizer, trained on the training captions, and what it cuts."""

    vocab_size: int
    """Token ids."""
    max_length: int
    """Tokens of a caption, [END] included."""
    longest_caption: int
    """Tokens that the longest caption of all splits needs."""
    num_cut: int
    """Captions of all splits that are longer than `max_length`."""


@configuration
class Manifest:
    """What a data set holds; equal manifests mean equal data sets."""

    name: str = "captioned-images"
    """Which kind of data set."""
    version: int = VERSION
    """Version of the way that images and splits are made."""
    layout: str
    """What the source was."""
    published_splits: bool = False
    """Whether splits are those that the source names, and not dealt by the seed."""
    config: CaptionedImagesConfig
    """What was asked for."""
    splits: dict[str, SplitCounts]
    """By name."""
    tokenizer: TokenizerCounts
    """In tokenizer.json."""
    problems: dict[str, ProblemCount]
    """By kind; see problems.jsonl for each."""
