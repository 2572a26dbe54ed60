"""Makes a square RGB image of one size from an encoded image of any kind."""

import hashlib
import io
import math
import struct
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from mxqvae.data.captioned_images.colours import to_srgb
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.captioned_images.source import Box, FileRange
from mxqvae.data.split_file import encode_image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
"""What is decoded. Pillow knows more, such as EPS, which starts another program."""
try:
    from pillow_heif import register_heif_opener
except ImportError:  # HEIC is then reported, and left out
    pass
else:
    register_heif_opener()
    FORMATS = (*FORMATS, "HEIF")
MAX_PIXELS = 89_478_485
"""Pixels decoded at once, a quarter of a GiB as RGB; a JPEG may have eight times as many on each side, as the
decoder reduces it."""
MAX_HELD_PIXELS = 2 * MAX_PIXELS
"""Pixels of a JPEG in several scans, which the decoder holds whole before it reduces them."""
SMALLEST_SHARE = 1 / 4
"""Images whose short side is below this share of the size asked for are left out."""
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for an image that it cannot read, which depends on the format and on the damage."""
OVERSAMPLING = 3
"""How much larger than asked for an image still is after the fast reduction that comes before Lanczos."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112
_TURN_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ON_THE_SIDE = (5, 6, 7, 8)
"""Orientations of images whose width is their height upright."""


class SquareImage(NamedTuple):
    """What became of an image."""

    png: bytes | None
    """PNG of size x size pixels; None where the image is left out."""
    pixels_sha256: bytes
    """Of the pixels, (size, size, 3) uint8; empty where the image is left out."""
    problems: tuple[tuple[ProblemKind, str], ...] = ()
    """Kinds, each with a detail."""


class _RefusedError(Exception):
    """The image is left out: a kind and a detail."""

    def __init__(self, kind: ProblemKind, detail: str) -> None:
        self.problem = (kind, detail)


def make_square(image: bytes | FileRange, size: int, box: Box | None = None) -> SquareImage:
    """Decode, convert, turn upright, crop to the square in the middle, and resize in one step.

    EXIF orientation is applied, what is transparent is laid on white, 16 bits become 8, CMYK and wide-gamut
    colours become sRGB, of several frames the first is taken. Nothing that an image holds raises an error.

    Args:
        size: Side of the square in pixels.
        box: Crop to the square around this box, as far as the image reaches, in place of the middle.
    """
    try:
        encoded = image.read() if isinstance(image, FileRange) else image
    except FileNotFoundError:
        return _left_out(ProblemKind.MISSING, "")
    except OSError as error:
        return _left_out(ProblemKind.BROKEN, error.strerror or str(error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on what is mended or reported here
            square, problems = _decode(encoded, size, box)
    except _RefusedError as refused:
        return _left_out(*refused.problem)
    pixels = np.asarray(square)
    png = encode_image(pixels)["bytes"]
    return SquareImage(png, hashlib.sha256(pixels.tobytes()).digest(), tuple(problems))


def as_shown(image: Image.Image) -> Image.Image:
    """An image as people see it: in sRGB, upright, what is transparent on white; as `make_square` has it.

    Raises:
        UNREADABLE: One of these: it is damaged, or its pixels are floating-point numbers.
    """
    image.load()
    try:
        flat, _ = _flat(image)
    except _RefusedError as refused:
        raise ValueError(refused.problem[1]) from None
    turn = _TURN_UPRIGHT.get(_orientation(image))
    square = to_srgb(flat, image.info.get("icc_profile"))
    return square if turn is None else square.transpose(turn)


def upright_size(encoded: bytes) -> tuple[int, int]:
    """Width and height, as people see it, of an image that `make_square` takes."""
    with _open(encoded) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _ON_THE_SIDE else (width, height)


def make_square_mask(levels: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8 of levels (H, W) uint8, cropped and resized as `make_square` does an image."""
    mask = Image.fromarray(levels)
    crop = _crop(mask.size, None, 1.0)
    return np.asarray(mask.resize((size, size), Image.Resampling.LANCZOS, crop, reducing_gap=OVERSAMPLING))


def _left_out(kind: ProblemKind, detail: str) -> SquareImage:
    return SquareImage(None, b"", ((kind, detail),))


def _decode(encoded: bytes, size: int, box: Box | None) -> tuple[Image.Image, list[tuple[ProblemKind, str]]]:
    try:
        with _open(encoded) as image:
            return _square(image, size, box)
    except _RefusedError:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _RefusedError(ProblemKind.GIGANTIC, str(error)) from None
    # What Pillow raises for a damaged file depends on its format and on the damage.
    except Exception as error:
        if not isinstance(error, Image.UnidentifiedImageError):
            raise _RefusedError(ProblemKind.BROKEN, str(error)) from None
        if encoded[4:8] == b"ftyp" and encoded[8:12] in _HEIC_BRANDS and "HEIF" not in FORMATS:
            raise _RefusedError(ProblemKind.HEIC, "") from None
        raise _RefusedError(ProblemKind.BROKEN, "unknown format" if encoded else "empty file") from None


def _open(encoded: bytes) -> Image.Image:
    if not encoded.startswith(b"\xff\xd8\xff"):
        return Image.open(io.BytesIO(encoded), formats=FORMATS)
    # Image.open would refuse by its size what the decoder is to reduce.
    image = JpegImagePlugin.jpeg_factory(io.BytesIO(encoded))
    if math.prod(image.size) > MAX_HELD_PIXELS and not _is_in_one_scan(encoded):
        raise _RefusedError(ProblemKind.GIGANTIC, _times(image.size))
    return image


def _is_in_one_scan(jpeg: bytes) -> bool:
    """Whether a JPEG is sequential, with all colours in its first scan."""
    place, num_colours = 2, 0
    while jpeg[place] == 0xFF:
        marker, size = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4])
        if marker in (0xC0, 0xC1):  # start of a sequential frame
            num_colours = jpeg[place + 9]
        if marker == 0xDA:  # start of a scan
            return jpeg[place + 4] == num_colours
        place += 2 + size
    return False


def _square(
    image: Image.Image, size: int, box: Box | None
) -> tuple[Image.Image, list[tuple[ProblemKind, str]]]:
    problems: list[tuple[ProblemKind, str]] = []
    whole_size = image.size
    subject = whole_size if box is None else (box.width, box.height)
    if min(whole_size) < size * SMALLEST_SHARE:
        raise _RefusedError(ProblemKind.TINY, _times(whole_size))
    if image.format in ("JPEG", "MPO"):
        enlarge = OVERSAMPLING * size / max(1, min(subject))
        image.draft(None, (math.ceil(image.width * enlarge), math.ceil(image.height * enlarge)))
    if math.prod(image.size) > MAX_PIXELS:
        raise _RefusedError(ProblemKind.GIGANTIC, _times(whole_size))
    # Phones append a second picture to a JPEG (MPO), which is no animation.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        problems.append((ProblemKind.ANIMATED, ""))
    is_deep = ";16" in str(image.tile) or image.mode.startswith("I")  # pyright: ignore[reportAttributeAccessIssue]
    image.load()
    if is_deep:
        problems.append((ProblemKind.DEEP, ""))
    turn = _TURN_UPRIGHT.get(_orientation(image))
    profile = image.info.get("icc_profile")
    flat, colour_problem = _flat(image)
    if colour_problem is not None:
        problems.append((colour_problem, ""))
    scale = flat.width / whole_size[0]
    square = flat.resize(
        (size, size), Image.Resampling.LANCZOS, _crop(flat.size, box, scale), reducing_gap=OVERSAMPLING
    )
    square = to_srgb(square, profile)
    if turn is not None:
        problems.append((ProblemKind.ROTATED, ""))
        square = square.transpose(turn)
    return square, problems


def _flat(image: Image.Image) -> tuple[Image.Image, ProblemKind | None]:
    """An image of mode RGB or CMYK, nothing transparent, 8 bits a channel; and what that took."""
    if image.mode == "CMYK":
        return image, ProblemKind.CMYK
    if image.mode == "F":
        raise _RefusedError(ProblemKind.BROKEN, "pixels are floating-point numbers")
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB"), None
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        opacity, _ = layer.getchannel("A").getextrema()
        if opacity != 255:
            white = Image.new("RGBA", layer.size, "white")
            return Image.alpha_composite(white, layer).convert("RGB"), ProblemKind.TRANSPARENT
        return layer.convert("RGB"), None
    return (image if image.mode == "RGB" else image.convert("RGB")), None  # which would copy it


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits (modes I and I;16) by its upper byte, as Pillow reduces colours of 16 bits."""
    levels = np.clip(np.asarray(image), 0, 0xFFFF)
    return Image.fromarray((levels >> 8).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing, and Pillow raises what the damage makes it
        return 1


def _crop(size: tuple[int, int], box: Box | None, scale: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the square to show."""
    width, height = size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    if box is not None:
        side = min(side, max(1.0, scale * max(box.width, box.height)))
        left = min(max(0.0, scale * (box.left + box.width / 2) - side / 2), width - side)
        top = min(max(0.0, scale * (box.top + box.height / 2) - side / 2), height - side)
    return left, top, left + side, top + side


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"
