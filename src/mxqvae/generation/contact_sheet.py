"""A contact sheet: a grid of images with the whole caption under each; and pictures written to files."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

PAPER = (252, 252, 250)
INK = (32, 33, 36)
AGREES = (24, 128, 72)
DIFFERS = (196, 48, 48)

IMAGE_WIDTH = 192  # px aimed at; images are enlarged by a whole factor so that their pixels stay square
MARGIN = 28  # px around the sheet and between cells
FONT_SIZE = 17  # px
LINE_HEIGHT = 22  # px
CAPTION_GAP = 10  # px between image and caption
MARK_SIZE = 14  # px, the side of a verdict's tick or cross
MARK_ROW = 24  # px, the height of the row that holds it
TICK = [[(0.1, 0.55), (0.38, 0.83), (0.9, 0.17)]]  # strokes in units of the side
CROSS = [[(0.15, 0.15), (0.85, 0.85)], [(0.15, 0.85), (0.85, 0.15)]]


class _Row(NamedTuple):
    images: np.ndarray  # (n, H, W, 3) uint8
    captions: list[list[str]]  # the wrapped lines of each caption
    verdicts: Sequence[bool | None]
    height: int  # px


def contact_sheet(
    images: np.ndarray,
    captions: Sequence[str],
    *,
    columns: int = 8,
    verdicts: Sequence[bool | None] | None = None,
) -> Image.Image:
    """Draw pairs on a light page, captions wrapped under their images and never cut off.

    Args:
        images: (N, H, W, 3) uint8, N at least 1. Enlarged by a whole factor, nearest neighbour.
        captions: N captions; line breaks in them count as spaces.
        columns: Pairs in a row, at least 1; fewer pairs make a narrower sheet.
        verdicts: A judge's word on each pair, drawn as a tick or a cross; None leaves a pair unmarked.

    Returns:
        An RGB image. Rows are as high as their longest caption.

    Raises:
        MxqvaeError: No pairs, an array of another form, or counts that differ.
    """
    _check(images, captions, columns, verdicts)
    font = ImageFont.load_default(FONT_SIZE)
    image_height, image_width = images.shape[1:3]
    scale = max(1, round(IMAGE_WIDTH / image_width))
    cell_width = scale * image_width
    columns = min(columns, len(images))
    marks = [None] * len(images) if verdicts is None else list(verdicts)
    rows = []
    for start in range(0, len(images), columns):
        cells = slice(start, start + columns)
        lines = [wrap(caption, font, cell_width) for caption in captions[cells]]
        caption_height = CAPTION_GAP + LINE_HEIGHT * max(map(len, lines))
        mark_height = MARK_ROW if any(mark is not None for mark in marks[cells]) else 0
        height = scale * image_height + caption_height + mark_height
        rows.append(_Row(images[cells], lines, marks[cells], height))

    size = (
        MARGIN + columns * (cell_width + MARGIN),
        MARGIN + sum(row.height + MARGIN for row in rows),
    )
    sheet = Image.new("RGB", size, PAPER)
    top = MARGIN
    for row in rows:
        _draw_row(sheet, row, top, scale, font)
        top += row.height + MARGIN
    return sheet


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG file, whole or not at all."""
    with new_output_file(path) as partial:
        picture.save(partial, format="PNG")


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break `text` into lines no wider than `width` px: between words, or inside a word too long."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if font.getlength(candidate) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while len(word) > 1 and font.getlength(word) > width:
            lengths = range(1, len(word))
            fitting = max(1, bisect_right(lengths, width, key=lambda n: font.getlength(word[:n])))
            lines.append(word[:fitting])
            word = word[fitting:]
        line = word
    return [*lines, line] if line else lines


def _draw_row(
    sheet: Image.Image, row: _Row, top: int, scale: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    draw = ImageDraw.Draw(sheet)
    image_height, image_width = (scale * side for side in row.images.shape[1:3])
    for column, (pixels, lines, verdict) in enumerate(
        zip(row.images, row.captions, row.verdicts, strict=True)
    ):
        left = MARGIN + column * (image_width + MARGIN)
        picture = Image.fromarray(pixels).resize((image_width, image_height), Image.Resampling.NEAREST)
        sheet.paste(picture, (left, top))
        text_top = top + image_height + CAPTION_GAP
        for line in lines:
            draw.text((left, text_top), line, fill=INK, font=font)
            text_top += LINE_HEIGHT
        if verdict is not None:
            _draw_mark(sheet, left, text_top + (MARK_ROW - MARK_SIZE) // 2, agrees=verdict)


def _draw_mark(sheet: Image.Image, left: int, top: int, *, agrees: bool) -> None:
    """Draw a smooth tick or cross; the bundled font has neither."""
    enlarged = 4 * MARK_SIZE
    strokes = TICK if agrees else CROSS
    mask = Image.new("L", (enlarged, enlarged))
    for stroke in strokes:
        points = [(enlarged * x, enlarged * y) for x, y in stroke]
        ImageDraw.Draw(mask).line(points, fill=255, width=enlarged // 5, joint="curve")
    mask = mask.resize((MARK_SIZE, MARK_SIZE), Image.Resampling.LANCZOS)
    sheet.paste(AGREES if agrees else DIFFERS, (left, top), mask)


def _check(
    images: np.ndarray, captions: Sequence[str], columns: int, verdicts: Sequence[bool | None] | None
) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise MxqvaeError(
            f"a contact sheet needs images of form (N, H, W, 3) uint8, got {images.shape} {images.dtype}"
        )
    if len(images) == 0:
        raise MxqvaeError("a contact sheet needs at least one pair, got none")
    if len(captions) != len(images):
        raise MxqvaeError(
            f"a contact sheet needs a caption for each image, got {len(captions)} for {len(images)}"
        )
    if verdicts is not None and len(verdicts) != len(images):
        raise MxqvaeError(
            f"a contact sheet needs a verdict for each pair, got {len(verdicts)} for {len(images)}"
        )
    if columns < 1:
        raise MxqvaeError(f"columns must be at least 1, got {columns}")
