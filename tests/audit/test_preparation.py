import io

import numpy as np
import pytest
from PIL import Image

from mxqvae.audit.preparation import decode_image, prepare
from mxqvae.data.pair_source import FoundPair, PairKey
from mxqvae.data.tokenizer import CaptionTokenizer

TOKENIZER = CaptionTokenizer.train(["Red, green and blue."])


def png(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(file, "PNG")
    return file.getvalue()


def pair(image: bytes | None, caption: str) -> FoundPair:
    return FoundPair(PairKey("data", 0, 0), image, caption)


def test_what_can_be_read_is_read_and_the_rest_is_said():
    pairs = [
        pair(png(), "red."),
        pair(None, "red."),
        pair(png(), " "),
        pair(b"no image", "red."),
        pair(png(9), "red."),
        pair(png(), "red orange."),
        pair(png(), "red " * 9),
        pair(png(), "Blue."),
    ]
    prepared = prepare(pairs, TOKENIZER, 8)
    assert prepared.places == [0, 7]
    assert prepared.images.shape == (2, 8, 8, 3)
    assert prepared.problems == [
        None,
        "no image",
        "no caption",
        "image damaged or of an unknown format",
        "image of another size: 9 x 9 pixels, not 8 x 8",
        "words outside the vocabulary: 'orange'",
        "caption too long: 9 words and marks, 6 fit",
        None,
    ]


def test_nothing_at_all():
    prepared = prepare([], TOKENIZER, 8)
    assert prepared.images.shape == (0, 8, 8, 3)
    assert (prepared.places, prepared.problems) == ([], [])


@pytest.mark.parametrize("size", [8, 16])
def test_pixels(size: int):
    image = decode_image(png(size), size)
    assert isinstance(image, np.ndarray)
    assert image.tolist() == [[[255, 0, 0]] * size] * size
