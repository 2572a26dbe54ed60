"""Encoded images to pixels; what the model cannot read of a pair is said, never raised."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.captioned_images.square_image import FORMATS, UNREADABLE, as_shown, make_square
from mxqvae.data.pair_source import FoundPair
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError

NO_IMAGE = "no image"
NO_CAPTION = "no caption"
DAMAGED_IMAGE = "image damaged or of an unknown format"
TOO_LONG = "caption too long"
UNKNOWN_WORDS = "words outside the vocabulary"
OF_THE_WEIGHTS = frozenset({TOO_LONG, UNKNOWN_WORDS})
"""Problems that other weights would not have."""
DETAIL = ": "
"""Stands between one of the above and what is said of the pair at hand."""


class PreparedPairs(NamedTuple):
    """B pairs, of which some can be audited."""

    images: Tensor
    """Those of the A pairs that can be, (A, H, W, 3) uint8."""
    places: list[int]
    """Where they stand among the B pairs."""
    problems: list[str | None]
    """Why a pair cannot be audited, for each of the B; None where it can."""


def prepare(pairs: Sequence[FoundPair], tokenizer: CaptionTokenizer, image_size: int) -> PreparedPairs:
    """Decode images, and find out what cannot be audited.

    Args:
        image_size: Height and width, in pixels, of the images that the model reads.
    """
    problems = _caption_problems([pair.caption for pair in pairs], tokenizer)
    images, places = [], []
    encoded: bytes | None = None
    image: np.ndarray | str = NO_IMAGE
    for place, pair in enumerate(pairs):
        if problems[place] is None:
            # The captions of one image stand in a row.
            if pair.image != encoded:
                encoded, image = pair.image, decode_image(pair.image, image_size)
            if isinstance(image, str):
                problems[place] = image
            else:
                images.append(image)
                places.append(place)
    pixels = np.stack(images) if images else np.empty((0, image_size, image_size, 3), np.uint8)
    return PreparedPairs(torch.from_numpy(pixels), places, problems)


def _caption_problems(captions: list[str], tokenizer: CaptionTokenizer) -> list[str | None]:
    """What is wrong with each caption; None where nothing is."""
    problems = [None if caption.strip() else NO_CAPTION for caption in captions]
    try:
        tokenizer.encode(captions)
        return problems
    except MxqvaeError:  # of one or more of them: below each by itself
        pass
    for place, caption in enumerate(captions):
        try:
            tokenizer.encode([caption])
        except MxqvaeError as error:
            problems[place] = _caption_problem(caption, tokenizer, str(error))
    return problems


def _caption_problem(caption: str, tokenizer: CaptionTokenizer, error: str) -> str:
    num_tokens = tokenizer.count_tokens([caption])[0]
    if num_tokens > tokenizer.max_length:
        return f"{TOO_LONG}{DETAIL}{num_tokens - 1} words and marks, {tokenizer.max_length - 1} fit"
    return f"{UNKNOWN_WORDS}{DETAIL}{error.partition(DETAIL)[2].partition(';')[0]}"


def kind_of(problem: str) -> str:
    """Which of the above a problem is, without what is said of the pair at hand."""
    return problem.partition(DETAIL)[0]


def decode_image(encoded: bytes | None, image_size: int) -> np.ndarray | str:
    """The image, (H, W, 3) uint8, or what is wrong with it.

    Of another size or shape, its middle square is taken and resized, as `mxqvae data folder` does.

    Args:
        image_size: Height and width that the model reads, in pixels.
    """
    if encoded is None:
        return NO_IMAGE
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.size == (image_size, image_size):
                return np.array(as_shown(image))
    except Image.DecompressionBombError:
        pass  # a JPEG is reduced below
    except UNREADABLE:
        return DAMAGED_IMAGE
    square = make_square(encoded, image_size)
    if square.png is None:
        kind, detail = square.problems[0]
        return DAMAGED_IMAGE if kind is ProblemKind.BROKEN else f"{kind.title}{DETAIL}{detail}"
    with Image.open(io.BytesIO(square.png)) as image:
        return np.array(image)
