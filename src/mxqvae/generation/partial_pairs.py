"""Pairs to complete, as people give them: an image file with a hidden rectangle, a caption with [MASK] words.

H and W pixels, S the model's pixels a side.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.captioned_images.square_image import UNREADABLE, make_square, make_square_mask, upright_size
from mxqvae.data.split_file import encode_image
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError

HIDDEN_LEVEL = 128
"""Level of a resized mask, of 255, from which on a pixel is hidden."""
HIDDEN_GREY = 128
"""What stands for a hidden pixel in a picture of a pair."""


class PartialPair(NamedTuple):
    """One pair, known in part."""

    image: np.ndarray | None
    """(S, S, 3) uint8; None where nothing of it is known."""
    hidden: np.ndarray
    """(S, S) bool: pixels to be found."""
    caption: str
    """Hidden words are [MASK]; empty where nothing of it is known."""

    def shown(self) -> np.ndarray:
        """The image with grey in place of what is hidden, (S, S, 3) uint8."""
        grey = np.full((*self.hidden.shape, 3), HIDDEN_GREY, np.uint8)
        return grey if self.image is None else np.where(self.hidden[..., None], grey, self.image)


class Rectangle(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    width: int
    height: int


class HiddenRegion(NamedTuple):
    """What of each image is hidden: a rectangle, the white of a mask, both, or nothing."""

    rectangle: Rectangle | None = None
    mask: Path | None = None


def parse_rectangle(text: str) -> Rectangle:
    """Read `"X,Y,WIDTH,HEIGHT"`.

    Raises:
        MxqvaeError: It is none.
    """
    try:
        rectangle = Rectangle(*(int(number) for number in text.split(",")))
    except (TypeError, ValueError):
        raise MxqvaeError(f"--hide {text!r}: give X,Y,WIDTH,HEIGHT in whole pixels") from None
    if rectangle.left < 0 or rectangle.top < 0 or rectangle.width < 1 or rectangle.height < 1:
        raise MxqvaeError(f"--hide {text!r}: X and Y start at 0, WIDTH and HEIGHT at 1")
    return rectangle


def read_pair(image: Path | bytes | None, caption: str, region: HiddenRegion, size: int) -> PartialPair:
    """Read one pair; its image becomes a square of `size` pixels as `mxqvae data folder` makes it.

    Args:
        image: File, or the encoded image itself; None where nothing of it is known.
        region: In the pixels of the image as it comes, upright.

    Raises:
        MxqvaeError: Names the file that is missing or no image, the mask of another size, or the rectangle
            that lies outside the image.
    """
    if image is None:
        return PartialPair(None, np.ones((size, size), bool), caption)
    name = "the image" if isinstance(image, bytes) else str(image)
    encoded = image if isinstance(image, bytes) else _bytes_of(image)
    pixels = _square(name, encoded, size)
    if region.rectangle is None and region.mask is None:
        return PartialPair(pixels, np.zeros((size, size), bool), caption)
    hidden = _hidden(region, name, upright_size(encoded))
    return PartialPair(pixels, _square_mask(hidden, size), caption)


def pair_of(image: np.ndarray | None, caption: str, hide: np.ndarray | None, size: int) -> PartialPair:
    """The same from pixels in memory.

    Args:
        image: (H, W, 3) uint8; None where nothing of it is known.
        hide: (H, W) bool, the pixels that are hidden; None where none is.

    Raises:
        MxqvaeError: An array of another form, or an image that is too small.
    """
    if image is None:
        if hide is not None:
            raise MxqvaeError("hide hides pixels of an image; give the image, or leave hide out")
        return read_pair(None, caption, HiddenRegion(), size)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise MxqvaeError(f"an image must be (height, width, 3) uint8, got {image.shape} {image.dtype}")
    pair = read_pair(encode_image(image)["bytes"], caption, HiddenRegion(), size)
    if hide is None:
        return pair
    if hide.shape != image.shape[:2] or hide.dtype != np.bool_:
        raise MxqvaeError(
            f"hide must be {image.shape[:2]} bool, as the image is, got {hide.shape} {hide.dtype}"
        )
    return pair._replace(hidden=_square_mask(hide.astype(np.uint8) * 255, size))


def batch_of(pairs: Sequence[PartialPair], tokenizer: CaptionTokenizer) -> PairBatch:
    """The pairs as models take them: NaN pixels and [MASK] words.

    Raises:
        MxqvaeError: A caption with words outside the vocabulary, or one that is too long.
    """
    images = torch.stack([torch.from_numpy(pair.shown()) for pair in pairs])
    hidden = torch.stack([torch.from_numpy(pair.hidden) for pair in pairs])
    floats = to_floats(images).masked_fill(hidden[:, None], torch.nan)
    return PairBatch(floats, tokenizer.encode_masked([pair.caption for pair in pairs]))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MxqvaeError(f"{path}: {error.strerror or error}; give an image file") from None


def _square(name: str, encoded: bytes, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    square = make_square(encoded, size)
    if square.png is None:
        kind, detail = square.problems[0]
        reason = f"{kind.title} ({detail})" if detail else kind.title
        raise MxqvaeError(f"{name}: {reason}; give another image file")
    with Image.open(io.BytesIO(square.png)) as image:
        return np.asarray(image.convert("RGB"))


def _square_mask(hidden: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool of levels (H, W) uint8, cut and resized as the image is."""
    return make_square_mask(hidden, size) >= HIDDEN_LEVEL


def _hidden(region: HiddenRegion, name: str, size: tuple[int, int]) -> np.ndarray:
    """Levels (H, W) uint8 of an image of `size` (width, height): 255 where it is hidden."""
    width, height = size
    hidden = np.zeros((height, width), np.uint8)
    if region.mask is not None:
        try:
            with Image.open(io.BytesIO(_bytes_of(region.mask))) as mask:
                levels = np.asarray(mask.convert("L"))
        except UNREADABLE:
            raise MxqvaeError(f"mask {region.mask} is not a readable image; give a picture") from None
        if levels.shape != hidden.shape:
            raise MxqvaeError(
                f"mask {region.mask} is {levels.shape[1]} x {levels.shape[0]} pixels, {name} is "
                f"{width} x {height}; give a mask of its size"
            )
        hidden[levels >= HIDDEN_LEVEL] = 255
    if region.rectangle is not None:
        left, top, rectangle_width, rectangle_height = region.rectangle
        if left >= width or top >= height:
            raise MxqvaeError(
                f"hidden rectangle {left},{top},{rectangle_width},{rectangle_height} lies outside {name} of "
                f"{width} x {height} pixels; X and Y count from its upper left corner"
            )
        hidden[top : top + rectangle_height, left : left + rectangle_width] = 255
    return hidden
