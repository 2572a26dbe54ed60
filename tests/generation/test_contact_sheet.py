import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFont

from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import FONT_SIZE, MARGIN, PAPER, contact_sheet, wrap

FONT = ImageFont.load_default(FONT_SIZE)


def pairs(num: int, side: int = 64) -> tuple[np.ndarray, list[str]]:
    images = np.random.default_rng(0).integers(0, 256, (num, side, side, 3), np.uint8)
    return images, [f"The {number} on the upper left is white." for number in range(num)]


@given(st.text(max_size=120), st.integers(20, 300))
def test_wrapping_loses_nothing_and_stays_within_the_width(text: str, width: int):
    lines = wrap(text, FONT, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(FONT.getlength(line) <= width for line in lines if len(line) > 1)


def test_text_without_spaces_is_measured_a_few_times_a_line(monkeypatch: pytest.MonkeyPatch):
    measured: list[str] = []

    class Watched:
        def getlength(self, text: str) -> float:
            measured.append(text)
            return 10.0 * len(text)

    lines = wrap("x" * 2_000, Watched(), 200)  # pyright: ignore[reportArgumentType]
    assert [len(line) for line in lines] == [20] * 100
    assert len(measured) < 100 * 15


def test_wrapping_breaks_between_words():
    assert wrap("the red 3 is here", FONT, FONT.getlength("the red 3")) == ["the red 3", "is here"]


def test_pixels_are_enlarged_by_a_whole_factor():
    images, captions = pairs(1)
    sheet = np.asarray(contact_sheet(images, captions))
    enlarged = sheet[MARGIN : MARGIN + 192, MARGIN : MARGIN + 192]
    np.testing.assert_array_equal(enlarged, images[0].repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(("num", "columns", "across"), [(3, 8, 3), (9, 4, 4)])
def test_the_sheet_is_as_wide_as_its_columns(num: int, columns: int, across: int):
    assert contact_sheet(*pairs(num), columns=columns).width == MARGIN + across * (192 + MARGIN)


def test_the_longest_caption_sets_the_height_of_its_row_only():
    images, captions = pairs(4)
    short = contact_sheet(images, captions, columns=2)
    captions[3] = "word " * 60
    long = contact_sheet(images, captions, columns=2)
    assert long.height > short.height
    first_row = (0, 0, short.width, MARGIN + 192)
    assert ImageChops.difference(short.crop(first_row), long.crop(first_row)).getbbox() is None


def test_no_ink_in_the_margins():
    images, _ = pairs(2)
    sheet = contact_sheet(images, ["W" * 200, "wide " * 50], columns=2, verdicts=[True, False])
    drawn = ImageChops.difference(sheet, Image.new("RGB", sheet.size, PAPER)).getbbox()
    assert drawn is not None
    left, top, right, bottom = drawn
    assert min(left, top) >= MARGIN
    assert right <= sheet.width - MARGIN
    assert bottom <= sheet.height - MARGIN


def test_a_verdict_marks_only_its_own_pair():
    images, captions = pairs(2)
    captions = ["one", "two"]
    unmarked, first, second = (
        contact_sheet(images, captions, verdicts=verdicts)
        for verdicts in ([None, False], [True, False], [False, False])
    )
    left = ImageChops.difference(unmarked, first).getbbox()
    assert left is not None
    assert left[2] <= MARGIN + 192
    assert ImageChops.difference(first, second).getbbox() is not None


def test_an_empty_caption_is_drawn_as_nothing():
    images, _ = pairs(1)
    assert contact_sheet(images, [""]).height == MARGIN + 192 + 10 + MARGIN


def test_bad_input_is_named():
    images, captions = pairs(2)
    for bad_images, bad_captions, message in [
        (images[:0], [], "at least one pair"),
        (images.astype(float), captions, "uint8"),
        (images[0], captions, "uint8"),
        (images, captions[:1], "1 for 2"),
    ]:
        with pytest.raises(MxqvaeError, match=message):
            contact_sheet(bad_images, bad_captions)
    with pytest.raises(MxqvaeError, match="1 for 2"):
        contact_sheet(images, captions, verdicts=[True])
    with pytest.raises(MxqvaeError, match="columns must be at least 1, got 0"):
        contact_sheet(images, captions, columns=0)
