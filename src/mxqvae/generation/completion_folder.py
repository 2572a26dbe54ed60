"""A folder of completed pairs, in the `imagefolder` layout of the library `datasets`.

00000-0.png 00000-1.png ...   the answers to pair 0, likeliest first
metadata.jsonl                a line for each: file_name, caption, pair, answer, seed, bits, given_caption
contact_sheet.png             the first pairs: what is given, hidden pixels grey, beside the answers
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mxqvae.data.batch import to_bytes
from mxqvae.data.tokenizer import MASK_WORD, CaptionTokenizer
from mxqvae.generation.completion import Completions
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.generation.partial_pairs import PartialPair
from mxqvae.generation.sample_folder import CONTACT_SHEET_NAME, METADATA_NAME
from mxqvae.output_folder import new_output_folder
from mxqvae.progress import Advance

CONTACT_SHEET_ROWS = 12
NOT_GIVEN = "(no caption given)"
HIDDEN_WORD = "___"


def write_completions(
    given: Sequence[PartialPair],
    answers: Iterable[Completions],
    out: Path,
    *,
    tokenizer: CaptionTokenizer,
    seed: int,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> list[dict[str, Any]]:
    """Write the answers as they come; the folder appears when the last one is written.

    Args:
        given: At least one pair.
        answers: The answers to each, in order.
        seed: The seed they were drawn with, for the metadata.
        advance: Told of each pair when its answers are written.

    Returns:
        The lines of the metadata.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false.
    """
    rows: list[dict[str, Any]] = []
    sheet_images: list[np.ndarray] = []
    sheet_captions: list[str] = []
    columns = 1
    with new_output_folder(out, overwrite=overwrite) as folder:
        for number, (pair, found) in enumerate(zip(given, answers, strict=True)):
            images = to_bytes(found.pairs.images).numpy()
            captions = [tokenizer.fill_masked(pair.caption, token_ids) for token_ids in found.pairs.token_ids]
            for place, image in enumerate(images):
                row = {
                    "file_name": f"{number:05d}-{place}.png",
                    "caption": captions[place],
                    "pair": number,
                    "answer": found.numbers[place],
                    "seed": seed,
                    "bits": round(float(found.bits[place]), 3),
                    "given_caption": pair.caption,
                }
                Image.fromarray(image).save(folder / row["file_name"])
                rows.append(row)
            if number < CONTACT_SHEET_ROWS:
                columns = 1 + len(images)
                sheet_images += [pair.shown(), *images]
                shown_caption = pair.caption.replace(MASK_WORD, HIDDEN_WORD) or NOT_GIVEN
                sheet_captions += [f"Given: {shown_caption}", *captions]
            if advance is not None:
                advance(1)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / METADATA_NAME).write_text("".join(lines), encoding="utf-8")
        sheet = contact_sheet(np.stack(sheet_images), sheet_captions, columns=columns)
        sheet.save(folder / CONTACT_SHEET_NAME)
    return rows
