"""Writes a split of Caption MNIST, or of a set made from it, to one parquet file; says what it holds.

`PairDataset.from_parquet` and `datasets.load_dataset` read the file.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mxqvae.config import configuration
from mxqvae.data.caption_grammar import KINDS, Slot, kind_of

PNG_COMPRESS_LEVEL = 1
"""Level 6 takes 1.8 times as long for files that are a sixth smaller."""

_TEXT = {"dtype": "string", "_type": "Value"}
_FEATURES = {
    "image": {"_type": "Image"},
    "caption": _TEXT,
    "kind": _TEXT,
    # A list around one struct is the spelling of "list of structs" that old and new `datasets` share.
    "slots": [{"position": _TEXT, "digit": {"dtype": "int64", "_type": "Value"}, "colour": _TEXT}],
}
PAIR_SCHEMA = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "caption": pa.string(),
        "kind": pa.string(),
        "slots": pa.list_(pa.struct({"position": pa.string(), "digit": pa.int64(), "colour": pa.string()})),
    },
    # Tells `datasets` that the image column holds images; it finds out by itself about further columns.
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
"""The columns of every split."""


@configuration
class SplitManifest:
    """What one split holds."""

    num_pairs: int
    """Pairs."""
    kinds: dict[str, int]
    """Pairs of each kind."""
    pixels_sha256: str
    """Of all pixels, (N, H, W, 3) uint8. The PNG files differ where the compressor's version does."""
    captions_sha256: str
    """Of all captions, UTF-8, a line feed after each."""


class SplitCount:
    """Counts pairs and hashes them, as they come."""

    def __init__(self, kinds: Sequence[str] = KINDS) -> None:
        self._kinds = dict.fromkeys(kinds, 0)
        self._pixels, self._captions = hashlib.sha256(), hashlib.sha256()

    def add(self, images: np.ndarray, captions: Iterable[str], kinds: Iterable[str]) -> None:
        """Count further pairs; `images` is (N, H, W, 3) uint8."""
        self._pixels.update(np.ascontiguousarray(images).data)
        for caption in captions:
            self._captions.update(f"{caption}\n".encode())
        for kind in kinds:
            self._kinds[kind] += 1

    def manifest(self) -> SplitManifest:
        """What was counted so far."""
        return SplitManifest(
            num_pairs=sum(self._kinds.values()),
            kinds=self._kinds.copy(),
            pixels_sha256=self._pixels.hexdigest(),
            captions_sha256=self._captions.hexdigest(),
        )


class SplitWriter:
    """Writes rows, each call a row group, and counts them; see `open_split`."""

    def __init__(self, file: pq.ParquetWriter, kinds: Sequence[str]) -> None:
        self._file = file
        self._count = SplitCount(kinds)

    def write(self, images: np.ndarray, rows: Sequence[dict[str, Any]]) -> None:
        """Write one row for each of `images`, (N, H, W, 3) uint8; `pair_row` makes the start of a row."""
        self._file.write_table(pa.Table.from_pylist(list(rows), schema=self._file.schema))
        self._count.add(images, (row["caption"] for row in rows), (row["kind"] for row in rows))

    def manifest(self) -> SplitManifest:
        """What was written so far."""
        return self._count.manifest()


@contextmanager
def open_split(
    folder: Path, split: str, *, schema: pa.Schema = PAIR_SCHEMA, kinds: Sequence[str] = KINDS
) -> Iterator[SplitWriter]:
    """Open `folder/data/{split}-00000-of-00001.parquet` for writing.

    Args:
        schema: `PAIR_SCHEMA`, or one that begins with it.
        kinds: What the split can hold; the manifest counts each, zeros too.
    """
    path = folder / "data" / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(exist_ok=True)
    with pq.ParquetWriter(path, schema) as file:
        yield SplitWriter(file, kinds)


def pair_row(image: dict[str, Any], caption: str, slots: Sequence[Slot]) -> dict[str, Any]:
    """The columns of `PAIR_SCHEMA`; `image` comes from `encode_image`."""
    return {
        "image": image,
        "caption": caption,
        "kind": kind_of(slots),
        "slots": [slot._asdict() for slot in slots],
    }


def encode_image(image: np.ndarray) -> dict[str, Any]:
    """The image column's cell for `image`, (H, W, 3) uint8: a PNG."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG", compress_level=PNG_COMPRESS_LEVEL)
    return {"bytes": png.getvalue(), "path": None}
