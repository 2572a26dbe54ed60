import io

import numpy as np
import pytest
from PIL import Image

from mxqvae.audit import preparation
from mxqvae.audit.preparation import decode_image, prepare
from mxqvae.data.captioned_images.square_image import make_square
from mxqvae.data.pair_source import FoundPair, PairKey
from mxqvae.data.split_file import encode_image
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
        pair(png(1), "red."),
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
        "image is far smaller than asked for: 1 x 1 pixels",
        "words outside the vocabulary: 'orange'",
        "caption too long: 9 words and marks, 6 fit",
        None,
    ]


def test_the_captions_of_one_image_decode_it_once(monkeypatch: pytest.MonkeyPatch):
    decoded = []
    monkeypatch.setattr(
        preparation, "decode_image", lambda *args: decoded.append(args[0]) or decode_image(*args)
    )
    images = [png(), png(), png(16), png(16), None, png(), b"x", b"x"]
    prepared = prepare([pair(image, "red.") for image in images], TOKENIZER, 8)
    assert prepared.places == [0, 1, 2, 3, 5]
    assert [prepared.problems[place] for place in (4, 6, 7)] == ["no image", *[preparation.DAMAGED_IMAGE] * 2]
    assert len(decoded) == 5


def test_nothing_at_all():
    prepared = prepare([], TOKENIZER, 8)
    assert prepared.images.shape == (0, 8, 8, 3)
    assert (prepared.places, prepared.problems) == ([], [])


def test_photos_become_what_data_folder_makes_of_them():
    """Cropped to the middle, resized, upright, on white: as for training and `mxqvae complete`."""
    levels = np.random.default_rng(0).integers(0, 256, (30, 50, 4), np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned
    Image.fromarray(levels).save(file, "PNG", exif=exif)
    made = make_square(file.getvalue(), 16).png
    assert made is not None
    decoded = decode_image(file.getvalue(), 16)
    assert isinstance(decoded, np.ndarray)
    assert np.array_equal(decoded, np.asarray(Image.open(io.BytesIO(made))))


def test_an_image_of_the_right_size_keeps_its_pixels():
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    decoded = decode_image(encode_image(levels)["bytes"], 16)
    assert isinstance(decoded, np.ndarray)
    assert np.array_equal(decoded, levels)


@pytest.mark.parametrize("size", [16, 32])
def test_what_is_transparent_is_white_and_what_lies_is_turned_at_any_size(size: int):
    """The upper half is red, to be shown on the right; the lower is transparent."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, size, size // 2))
    exif = image.getexif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    image.save(stored, "PNG", exif=exif)
    decoded = decode_image(stored.getvalue(), 16)
    assert isinstance(decoded, np.ndarray)
    assert decoded[8, 2].tolist() == [255, 255, 255]
    assert decoded[8, 13].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [8, 16])
def test_pixels(size: int):
    image = decode_image(png(size), size)
    assert isinstance(image, np.ndarray)
    assert image.tolist() == [[[255, 0, 0]] * size] * size
