"""A folder of sampled pairs, in the `imagefolder` layout of the library `datasets`.

    00000.png 00001.png ...   one image for each pair, named by its sample number
    metadata.jsonl            a line for each: file_name, caption, seed, sample
    contact_sheet.png         the first pairs at a glance

`datasets.load_dataset("imagefolder", data_dir=folder)` reads it: rows follow `metadata.jsonl`, so that the
contact sheet is none (datasets 3.4 or later).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mxqvae.data.captioned_images.square_image import UNREADABLE, as_shown
from mxqvae.data.pair_source import METADATA_NAME
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.output_folder import CONTACT_SHEET_NAME, new_output_folder
from mxqvae.progress import Advance

CONTACT_SHEET_PAIRS = 64
NUM_THREADS = 2  # zlib and the disk work outside Python's lock; more than two threads bring nothing more


class WrittenPairs(Protocol):
    """What a batch must have to be written; `pipeline.SampledPairs` has it."""

    @property
    def images(self) -> ArrayLike:
        """(B, H, W, 3) uint8: an array, or a tensor on the CPU."""
        ...

    @property
    def captions(self) -> Sequence[str]:
        """B captions."""
        ...


class SampleFolder(NamedTuple):
    """Pairs read back from a sample folder."""

    images: np.ndarray  # (N, H, W, 3) uint8
    captions: list[str]


def write_sample_folder(
    batches: Iterable[WrittenPairs],
    out: Path,
    *,
    seed: int,
    first: int = 0,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> int:
    """Write sampled pairs as they come; the folder appears when the last one is written.

    Args:
        batches: Consecutive samples of one seed.
        out: The folder to make.
        seed: The seed they were drawn with, for the metadata.
        first: The number of the first sample.
        overwrite: Replace a folder that has content.
        advance: Told the pairs of each batch when they are written.

    Returns:
        The number of pairs written.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false, or there are no pairs.
    """
    sheet_images: list[np.ndarray] = []
    sheet_captions: list[str] = []
    next_sample = first
    with new_output_folder(out, overwrite=overwrite) as folder:
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            for batch in batches:
                images = np.asarray(batch.images)
                rows = [
                    {"file_name": f"{sample:05d}.png", "caption": caption, "seed": seed, "sample": sample}
                    for sample, caption in enumerate(batch.captions, start=next_sample)
                ]
                jobs = [(image, folder / row["file_name"]) for image, row in zip(images, rows, strict=True)]
                list(threads.map(_write_png, jobs))  # waits, so that a full disk is noticed here
                _append_rows(folder / METADATA_NAME, rows)
                wanted = CONTACT_SHEET_PAIRS - len(sheet_captions)
                sheet_images.extend(images[:wanted])
                sheet_captions.extend(batch.captions[:wanted])
                next_sample += len(rows)
                if advance is not None:
                    advance(len(rows))
        if next_sample == first:
            raise MxqvaeError("there are no pairs to write; sample at least one")
        contact_sheet(np.stack(sheet_images), sheet_captions).save(folder / CONTACT_SHEET_NAME)
    return next_sample - first


def read_sample_folder(folder: Path, num: int | None = None) -> SampleFolder:
    """Read the pairs of a folder that `write_sample_folder`, or anyone else, wrote in this layout.

    Only `file_name` and `caption` are needed in a line of the metadata.

    Args:
        num: Read the first `num` pairs only; all where they are fewer, or without it.

    Raises:
        MxqvaeError: Names the folder, line or image that is missing, damaged or of another size.
    """
    names, captions = (column[:num] for column in _read_metadata(folder))
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        images = list(threads.map(_read_image, [folder / name for name in names]))
    for name, image in zip(names, images, strict=True):
        if image.shape != images[0].shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (image.shape, images[0].shape)]
            raise MxqvaeError(
                f"{folder / name} is {sizes[0]} where {names[0]} is {sizes[1]}; all images need one size"
            )
    return SampleFolder(np.stack(images), captions)


def read_sample_captions(folder: Path) -> list[str]:
    """The captions of such a folder; images are not looked at. Errors as in `read_sample_folder`."""
    return _read_metadata(folder)[1]


def _read_metadata(folder: Path) -> tuple[list[str], list[str]]:
    """File names and captions."""
    if not folder.is_dir():
        raise MxqvaeError(f"{folder} is not a folder; give one that `mxqvae sample` wrote")
    metadata = folder / METADATA_NAME
    if not metadata.is_file():
        raise MxqvaeError(f"{metadata} is missing; give a folder that `mxqvae sample` wrote")
    names, captions = [], []
    for place, row in _rows(metadata):
        name, caption = row.get("file_name"), row.get("caption")
        if not isinstance(name, str) or not isinstance(caption, str):
            raise MxqvaeError(f"{metadata}, line {place}: needs the texts `file_name` and `caption`")
        names.append(name)
        captions.append(caption)
    if not names:
        raise MxqvaeError(f"{metadata} lists no pairs; sample again")
    return names, captions


def _rows(metadata: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = metadata.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MxqvaeError(f"{metadata} is not UTF-8 text; sample again") from None
    for place, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise MxqvaeError(f"{metadata}, line {place}: is not a JSON object; fix it or sample again")
        yield place, row


def _append_rows(metadata: Path, rows: Sequence[dict[str, Any]]) -> None:
    with metadata.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_png(job: tuple[np.ndarray, Path]) -> None:
    pixels, path = job
    Image.fromarray(pixels).save(path, format="PNG")


def _read_image(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(as_shown(image))
    except FileNotFoundError:
        raise MxqvaeError(f"{path} is missing; sample again") from None
    except UNREADABLE:
        raise MxqvaeError(f"{path} is not a readable image; sample again") from None
