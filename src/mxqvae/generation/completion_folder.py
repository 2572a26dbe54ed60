"""A folder of completed pairs, in the `imagefolder` layout of the library `datasets`.

00000-0.png 00000-1.png ...   the answers to pair 0, likeliest first
metadata.jsonl                a line for each: file_name, caption, pair, answer, seed, bits, given_caption
contact_sheet.png             the first pairs: what is given, hidden pixels grey, beside the answers
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from mxqvae.data.batch import to_bytes
from mxqvae.data.pair_source import METADATA_NAME
from mxqvae.data.tokenizer import HIDDEN_TOKENS, CaptionTokenizer
from mxqvae.generation.completion import Completions
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.generation.partial_pairs import PartialPair
from mxqvae.output_folder import CONTACT_SHEET_NAME, new_output_folder

CONTACT_SHEET_ROWS = 12
NOT_GIVEN = "(no caption given)"
HIDDEN_WORD = "___"

Row = dict[str, Any]
"""What a line of the metadata says of one answer."""


def write_completions(
    given: PartialPair,
    found: Completions,
    out: Path,
    *,
    tokenizer: CaptionTokenizer,
    seed: int,
    overwrite: bool = False,
) -> list[Row]:
    """Write the answers to one pair, number 0.

    Args:
        seed: The seed they were drawn with, for the metadata.

    Returns:
        The lines of the metadata.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false.
    """
    with new_output_folder(out, overwrite=overwrite) as folder:
        rows = write_answers(folder, 0, given, found, tokenizer=tokenizer, seed=seed)
        with (folder / METADATA_NAME).open("w", encoding="utf-8") as file:
            write_lines(file, rows)
        write_sheet(folder, [given.shown()], [rows])
    return rows


def write_answers(
    folder: Path,
    number: int,
    given: PartialPair,
    found: Completions,
    *,
    tokenizer: CaptionTokenizer,
    seed: int,
) -> list[Row]:
    """Write the images of the answers to pair `number` and return their lines of the metadata."""
    rows = []
    for place, image in enumerate(to_bytes(found.pairs.images).numpy()):
        row = {
            "file_name": f"{number:05d}-{place}.png",
            "caption": tokenizer.fill_masked(given.caption, found.pairs.token_ids[place]),
            "pair": number,
            "answer": found.numbers[place],
            "seed": seed,
            "bits": round(float(found.bits[place]), 3),
            "given_caption": given.caption,
        }
        Image.fromarray(image).save(folder / row["file_name"])
        rows.append(row)
    return rows


def write_lines(file: TextIO, rows: Iterable[Row]) -> None:
    """Write one JSON object a line."""
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_sheet(folder: Path, shown: Sequence[np.ndarray], answers: Sequence[Sequence[Row]]) -> None:
    """Draw the contact sheet of the first pairs, whose answers lie in `folder`.

    Args:
        shown: What is given of each pair, (H, W, 3) uint8; at least one.
        answers: The lines of each pair's answers, as many for one as for the other.
    """
    images: list[np.ndarray] = []
    captions: list[str] = []
    for given, rows in zip(shown, answers, strict=True):
        caption = HIDDEN_TOKENS.sub(HIDDEN_WORD, rows[0]["given_caption"]) or NOT_GIVEN
        images += [given, *(read_image(folder / row["file_name"]) for row in rows)]
        captions += [f"Given: {caption}", *(row["caption"] for row in rows)]
    sheet = contact_sheet(np.stack(images), captions, columns=1 + len(answers[0]))
    sheet.save(folder / CONTACT_SHEET_NAME)


def read_image(path: Path) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of an image that was written here."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
