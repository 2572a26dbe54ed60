import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from mxqvae.data.captioned_images import square_image
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.captioned_images.source import Box, FileRange
from mxqvae.data.captioned_images.square_image import SquareImage, make_square

Picture = Callable[..., Image.Image]
Encode = Callable[..., bytes]
SIZE = 32


def pixels_of(square: SquareImage) -> np.ndarray:
    """The pixels, as integers that can be subtracted."""
    assert square.png is not None, square.problems
    image = Image.open(io.BytesIO(square.png))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (SIZE, SIZE))
    return np.asarray(image).astype(int)


def kinds_of(square: SquareImage) -> list[ProblemKind]:
    return [kind for kind, _ in square.problems]


def assert_close(one: np.ndarray, other: np.ndarray, tolerance: int = 1) -> None:
    assert abs(one - other).max() <= tolerance


def deep_png(levels: np.ndarray) -> bytes:
    """A PNG of 16-bit colours, which Pillow cannot write; `levels` is (H, W, 3) uint16."""
    height, width, _ = levels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class TestSquare:
    def test_an_image_of_the_right_size_is_left_alone(self, picture: Picture, encode: Encode):
        image = picture(1, SIZE, SIZE)
        square = make_square(encode(image), SIZE)
        assert (pixels_of(square) == np.asarray(image)).all()
        assert square.problems == ()

    @pytest.mark.parametrize(("width", "height"), [(80, 80), (90, 50), (50, 91), (33, 32), (20, 24)])
    def test_the_middle_is_shown(self, picture: Picture, encode: Encode, width: int, height: int):
        image = picture(2, width, height)
        expected = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
        assert_close(pixels_of(make_square(encode(image), SIZE)), np.asarray(expected).astype(int))

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM"])
    def test_large_images_are_reduced_well(self, picture: Picture, encode: Encode, format: str):
        image = picture(3, 700, 500)
        expected = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
        square = make_square(encode(image, format, **({"quality": 95} if format != "PNG" else {})), SIZE)
        assert abs(pixels_of(square) - np.asarray(expected)).mean() < 3
        assert square.problems == ()

    def test_same_pixels_same_hash(self, picture: Picture, encode: Encode):
        png, bmp = (make_square(encode(picture(4), format), SIZE) for format in ("PNG", "BMP"))
        other = make_square(encode(picture(5)), SIZE)
        assert png.pixels_sha256 == bmp.pixels_sha256 != other.pixels_sha256

    def test_a_box_is_cropped_to(self, encode: Encode):
        image = Image.new("RGB", (100, 60), "blue")
        image.paste("red", (50, 10, 90, 30))
        square = make_square(encode(image), SIZE, Box(50, 10, 40, 20))
        pixels = pixels_of(square)
        assert_close(pixels[SIZE // 2, 2:-2], np.array((255, 0, 0)))
        assert_close(pixels[1], np.array((0, 0, 255)))
        # A box beyond the image shows what there is.
        assert (
            pixels_of(make_square(encode(image), SIZE, Box(90, 50, 500, 500)))[-1, -1] == (0, 0, 255)
        ).all()

    def test_a_part_of_a_file(self, picture: Picture, encode: Encode, tmp_path: Path):
        png = encode(picture(6))
        (tmp_path / "archive").write_bytes(b"before" + png + b"after")
        place = FileRange(str(tmp_path / "archive"), 6, len(png))
        assert make_square(place, SIZE) == make_square(png, SIZE)


class TestConversions:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, picture: Picture, encode: Encode, orientation: int, format: str):
        image = picture(7, 60, 40)
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if format == "WEBP" else {"quality": 95, "subsampling": 0}
        stored = encode(image, format, exif=exif, **options)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
        expected = ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.LANCZOS)
        square = make_square(stored, SIZE)
        assert_close(pixels_of(square), np.asarray(expected).astype(int), tolerance=2)
        assert kinds_of(square) == ([] if orientation == 1 else [ProblemKind.ROTATED])

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF"])
    def test_transparent_is_laid_on_white(self, encode: Encode, format: str):
        image = Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 0))
        image.paste((255, 0, 0, 255), (0, 0, SIZE, SIZE // 2))
        square = make_square(encode(image, format), SIZE)
        pixels = pixels_of(square)
        assert_close(pixels[0, 0], np.array((255, 0, 0)), tolerance=3)  # lossy WebP
        assert_close(pixels[-1, -1], np.array((255, 255, 255)))
        assert kinds_of(square) == [ProblemKind.TRANSPARENT]

    @pytest.mark.parametrize("mode", ["LA", "PA", "P"])
    def test_transparency_of_other_modes(self, encode: Encode, mode: str):
        image = Image.new("LA", (SIZE, SIZE), (0, 128)) if mode == "LA" else Image.new("P", (SIZE, SIZE), 0)
        if mode == "LA":
            square = make_square(encode(image), SIZE)
            assert (pixels_of(square)[0, 0] == 127).all()
        else:
            image.putpalette([0, 0, 0, 255, 255, 255])
            options = {"transparency": 0} if mode == "P" else {"transparency": bytes([64, 255])}
            square = make_square(encode(image, **options), SIZE)
            assert (pixels_of(square)[0, 0] == (255 if mode == "P" else 191)).all()
        assert kinds_of(square) == [ProblemKind.TRANSPARENT]

    def test_opaque_alpha_is_no_problem(self, picture: Picture, encode: Encode):
        image = picture(8, SIZE, SIZE)
        square = make_square(encode(image.convert("RGBA")), SIZE)
        assert (pixels_of(square) == np.asarray(image)).all()
        assert square.problems == ()

    @pytest.mark.parametrize("mode", ["1", "L", "P"])
    def test_grey_and_palette(self, picture: Picture, encode: Encode, mode: str):
        image = picture(9, SIZE, SIZE).convert(mode)
        square = make_square(encode(image), SIZE)
        assert (pixels_of(square) == np.asarray(image.convert("RGB"))).all()
        assert square.problems == ()

    def test_cmyk(self, encode: Encode):
        for ink, colour in (
            ((0, 255, 255, 0), (255, 0, 0)),
            ((0, 0, 0, 255), (0, 0, 0)),
            ((0, 0, 0, 0), (255,) * 3),
        ):
            square = make_square(encode(Image.new("CMYK", (64, 64), ink), "JPEG", quality=95), SIZE)
            assert_close(pixels_of(square)[5, 5], np.array(colour), tolerance=3)
            assert kinds_of(square) == [ProblemKind.CMYK]

    def test_sixteen_bits_of_grey(self, encode: Encode):
        levels = np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
        for format in ("PNG", "TIFF"):
            square = make_square(encode(Image.fromarray(levels), format), SIZE)
            assert (pixels_of(square) == (levels >> 8)[:, :, None]).all()
            assert kinds_of(square) == [ProblemKind.DEEP]

    def test_sixteen_bits_of_colour(self):
        levels = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE, 3), np.uint16)
        square = make_square(deep_png(levels), SIZE)
        assert (pixels_of(square) == levels >> 8).all()
        assert kinds_of(square) == [ProblemKind.DEEP]

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_frame_of_several(self, encode: Encode, format: str):
        frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("red", "lime", "blue")]
        options = {"lossless": True} if format == "WEBP" else {}
        stored = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
        square = make_square(stored, SIZE)
        assert (pixels_of(square) == (255, 0, 0)).all()
        assert kinds_of(square) == [ProblemKind.ANIMATED]

    def test_the_second_picture_of_a_phone_is_no_frame(self, picture: Picture, encode: Encode):
        stored = encode(picture(10), "MPO", save_all=True, append_images=[picture(11)])
        assert Image.open(io.BytesIO(stored)).format == "MPO"
        square = make_square(stored, SIZE)
        assert square == make_square(encode(picture(10), "JPEG"), SIZE)
        assert square.problems == ()

    def test_a_colour_profile_is_applied(self, encode: Encode):
        red = Image.new("RGB", (SIZE, SIZE), (255, 0, 0))
        plain = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        assert (pixels_of(make_square(encode(red, icc_profile=bytes(plain)), SIZE)) == (255, 0, 0)).all()

        # A profile in which the first channel is green: the places of two tags are exchanged.
        num_tags = int.from_bytes(plain[128:132])
        tags = {bytes(plain[i : i + 4]): i for i in range(132, 132 + 12 * num_tags, 12)}
        one, other = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
        plain[one : one + 8], plain[other : other + 8] = plain[other : other + 8], plain[one : one + 8]
        swapped = bytes(plain).replace("sRGB".encode("utf-16-be"), "GRBx".encode("utf-16-be"))
        pixels = pixels_of(make_square(encode(red, icc_profile=swapped), SIZE))
        assert_close(pixels[0, 0], np.array((0, 255, 0)), tolerance=2)

    @pytest.mark.parametrize("profile", [b"", b"nonsense", b"\0" * 500])
    def test_a_damaged_profile_says_nothing(self, picture: Picture, encode: Encode, profile: bytes):
        image = picture(12, SIZE, SIZE)
        assert (pixels_of(make_square(encode(image, icc_profile=profile), SIZE)) == np.asarray(image)).all()


class TestRefused:
    def assert_left_out(self, square: SquareImage, kind: ProblemKind, detail: str = "") -> None:
        assert square[:2] == (None, b"")
        assert kinds_of(square) == [kind]
        assert detail in square.problems[0][1]

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
    def test_half_a_file(self, picture: Picture, encode: Encode, format: str):
        stored = encode(picture(13), format)
        self.assert_left_out(make_square(stored[: len(stored) // 2], SIZE), ProblemKind.BROKEN)

    @pytest.mark.parametrize(
        ("stored", "detail"),
        [
            (b"", "empty file"),
            (b"<svg></svg>", "unknown format"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unknown format"),
        ],
    )
    def test_no_image(self, stored: bytes, detail: str):
        self.assert_left_out(make_square(stored, SIZE), ProblemKind.BROKEN, detail)

    @pytest.mark.parametrize("brand", [b"heic", b"hevx", b"mif1"])
    def test_heic_where_it_is_not_read(self, monkeypatch: pytest.MonkeyPatch, brand: bytes):
        formats = tuple(format for format in square_image.FORMATS if format != "HEIF")
        monkeypatch.setattr(square_image, "FORMATS", formats)
        stored = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
        self.assert_left_out(make_square(stored, SIZE), ProblemKind.HEIC)
        assert "mxqvae[heic]" in ProblemKind.HEIC.remedy

    def test_heic_where_it_is_read(self, picture: Picture, encode: Encode):
        image = picture(1, 128, 128)
        square = make_square(encode(image, "HEIF", quality=95), SIZE)
        assert square.problems == ()
        assert_close(pixels_of(square), pixels_of(make_square(encode(image), SIZE)), tolerance=12)

    def test_floating_point(self, encode: Encode):
        stored = encode(Image.new("F", (SIZE, SIZE), 0.5), "TIFF")
        self.assert_left_out(make_square(stored, SIZE), ProblemKind.BROKEN, "floating-point")

    def test_missing(self, tmp_path: Path):
        self.assert_left_out(make_square(FileRange(str(tmp_path / "gone.png")), SIZE), ProblemKind.MISSING)
        self.assert_left_out(make_square(FileRange(str(tmp_path)), SIZE), ProblemKind.BROKEN)

    def test_tiny(self, picture: Picture, encode: Encode):
        self.assert_left_out(
            make_square(encode(picture(0, 100, 7)), SIZE), ProblemKind.TINY, "100 x 7 pixels"
        )
        assert make_square(encode(picture(0, 8, 100)), SIZE).problems == ()

    def test_a_bomb_is_not_decoded(self, encode: Encode):
        stored = bytearray(encode(Image.new("L", (SIZE, SIZE))))
        for width, height in ((100_000, 100_000), (10_000, 9_000)):
            stored[16:24] = struct.pack(">II", width, height)
            stored[29:33] = struct.pack(">I", zlib.crc32(stored[12:29]))
            self.assert_left_out(make_square(bytes(stored), SIZE), ProblemKind.GIGANTIC, "pixels")

    def test_a_large_jpeg_is_reduced_as_it_is_decoded(
        self, picture: Picture, encode: Encode, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(square_image, "MAX_PIXELS", 300 * 300)
        image = picture(14, 800, 800)
        self.assert_left_out(make_square(encode(image), SIZE), ProblemKind.GIGANTIC, "800 x 800")
        assert make_square(encode(image, "JPEG"), SIZE).problems == ()

    def test_a_jpeg_beyond_pillows_own_limit_is_read(
        self, picture: Picture, encode: Encode, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 200)
        monkeypatch.setattr(square_image, "MAX_PIXELS", 200 * 200)
        for format in ("JPEG", "MPO"):
            second = {"save_all": True, "append_images": [picture(16)]} if format == "MPO" else {}
            square = make_square(encode(picture(15, 700, 700), format, **second), SIZE)
            assert square.problems == ()
            assert square.png is not None
        self.assert_left_out(make_square(encode(picture(15, 700, 700)), SIZE), ProblemKind.GIGANTIC)

    def test_a_large_jpeg_that_would_be_held_whole_is_not_decoded(
        self, picture: Picture, encode: Encode, monkeypatch: pytest.MonkeyPatch
    ):
        one_scan = encode(picture(17, 700, 500), "JPEG")
        several = encode(picture(17, 700, 500), "JPEG", progressive=True)
        # The first scan of the same image says that others follow it: of two colours.
        start = one_scan.index(b"\xff\xda")
        of_two = one_scan[: start + 4] + b"\2" + one_scan[start + 5 :]
        monkeypatch.setattr(square_image, "MAX_HELD_PIXELS", 700 * 500)
        assert make_square(one_scan, SIZE).problems == ()
        assert make_square(several, SIZE).problems == ()
        monkeypatch.setattr(square_image, "MAX_HELD_PIXELS", 700 * 500 - 1)
        assert make_square(one_scan, SIZE).problems == ()
        for stored in (several, of_two):
            self.assert_left_out(make_square(stored, SIZE), ProblemKind.GIGANTIC, "700 x 500 pixels")

    @settings(max_examples=60)
    @given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF"]), st.data())
    def test_no_damage_raises(self, format: str, data: st.DataObject):
        file = io.BytesIO()
        Image.linear_gradient("L").resize((40, 40)).convert("RGB").save(file, format)
        stored = bytearray(file.getvalue())
        places = st.integers(0, len(stored) - 1)
        for place in data.draw(st.lists(places, min_size=1, max_size=5)):
            stored[place] = data.draw(st.integers(0, 255))
        square = make_square(bytes(stored), SIZE)
        if square.png is None:
            assert len(square.problems) == 1
        else:
            pixels_of(square)
