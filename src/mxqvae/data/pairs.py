"""Reads a split of a data set into memory.

Any folder of parquet shards with an image and a caption column will do; nothing here knows what they show.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.batch import PairShape, to_floats
from mxqvae.data.caption_grammar import Slot
from mxqvae.data.captioned_images.square_image import UNREADABLE, as_shown
from mxqvae.data.shard_files import find_shards, num_rows, unreadable
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError

IMAGES_AT_A_TIME = 250
"""Images that are held twice, as they are read or hashed."""


class PairDataset:
    """Image-caption pairs in memory; an image can belong to several, and either half can be unknown.

    Attributes:
        images: (M, H, W, 3) uint8.
        captions: N raw captions, empty where none is known.
        image_numbers: (N) int64, the image of each pair in `images`, -1 where none is known.
        slots: Ground truth of each pair, in the order of its caption; None where the data set has none.
    """

    def __init__(
        self,
        images: Tensor,
        captions: Sequence[str],
        slots: Sequence[tuple[Slot, ...]] | None = None,
        *,
        image_numbers: Tensor | None = None,
    ) -> None:
        """Put pairs together; without `image_numbers`, pair i has image i."""
        numbers = torch.arange(len(images)) if image_numbers is None else image_numbers
        if len(numbers) != len(captions) or (slots is not None and len(slots) != len(captions)):
            raise ValueError("images, captions and slots must be equal in number")
        self.images = images
        self.captions = list(captions)
        self.image_numbers = numbers
        self.slots = None if slots is None else list(slots)

    def __len__(self) -> int:
        return len(self.captions)

    def images_of(self, rows: Tensor) -> Tensor:
        """Images (B, 3, H, W) of the pairs with numbers `rows` (B), in [0, 1], NaN where none is known."""
        numbers = self.image_numbers[rows]
        images = to_floats(self.images[numbers.clamp(min=0)])
        return images.masked_fill(numbers[:, None, None, None] < 0, torch.nan)

    def mirrored_images_of(self, rows: Tensor) -> Tensor:
        """As `images_of`, each image mirrored left to right."""
        return self.images_of(rows).flip(3)

    def digest(self) -> str:
        """SHA-256 of all pixels and captions, and of which belong together."""
        content = hashlib.sha256()
        for images in self.images.split(IMAGES_AT_A_TIME):  # not one copy of all
            content.update(images.numpy().tobytes())
        content.update(self.image_numbers.numpy().tobytes())
        content.update(json.dumps(self.captions).encode())
        return content.hexdigest()

    def shape(self, tokenizer: CaptionTokenizer) -> PairShape:
        """What a model has to know of these pairs.

        Raises:
            MxqvaeError: The images are not square.
        """
        height, width = self.images.shape[1:3]
        if height != width:
            raise MxqvaeError(
                f"images of {width} x {height} pixels; make them square, as `mxqvae data folder` does"
            )
        return PairShape(tokenizer.vocab_size, tokenizer.max_length, height)

    def whole(self) -> "PairDataset":
        """The pairs of which both halves are known."""
        rows = [
            row
            for row, (caption, number) in enumerate(
                zip(self.captions, self.image_numbers.tolist(), strict=True)
            )
            if caption.strip() and number >= 0
        ]
        slots = None if self.slots is None else [self.slots[row] for row in rows]
        captions = [self.captions[row] for row in rows]
        return PairDataset(self.images, captions, slots, image_numbers=self.image_numbers[rows])

    def one_per_image(self) -> "PairDataset":
        """Each image with the first of its captions, in the order of the images' first pairs.

        Captions without an image are left out; an image without a caption keeps its empty one. Slots stay.
        """
        rows: dict[int, int] = {}
        for row, number in enumerate(self.image_numbers.tolist()):
            if number >= 0:
                rows.setdefault(number, row)
        slots = None if self.slots is None else [self.slots[row] for row in rows.values()]
        return PairDataset(self.images[list(rows)], [self.captions[row] for row in rows.values()], slots)

    @classmethod
    def from_parquet(cls, folder: Path, split: str) -> "PairDataset":
        """Read and decode `folder/data/{split}-NNNNN-of-NNNNN.parquet`, all shards in order.

        A row has one image and a `caption`, or `captions`, each of which makes a pair with the image.

        Raises:
            MxqvaeError: Names the folder, split, shard, column or row (from 0) that is missing, damaged or
                unlike the others.
        """
        paths = find_shards(folder, split)[split]
        images = _DecodedImages(most=sum(map(num_rows, paths)))
        captions, numbers, slots = [], [], []
        for path in paths:
            for first, rows in _read_shard(path):
                encoded = rows["image"].to_pylist()
                for row, (image, row_captions) in enumerate(
                    zip(encoded, _captions_of(rows), strict=True), start=first
                ):
                    captions += row_captions
                    numbers += [-1 if image is None else images.num] * len(row_captions)
                    if image is not None:
                        images.add(path, row, image["bytes"])
                if "slots" in rows.column_names:
                    slots += [_slots_of(row) for row in rows["slots"].to_pylist()]
        if not captions:
            raise MxqvaeError(f"data set {folder}: split {split!r} holds no pairs; build it again")
        if not images.num:
            raise MxqvaeError(f"data set {folder}: split {split!r} holds no images; add some")
        all_slots = slots if len(slots) == len(captions) else None
        return cls(images.tensor(), captions, all_slots, image_numbers=torch.tensor(numbers))


def _is_encoded_image(column: pa.DataType) -> bool:
    index = column.get_field_index("bytes") if pa.types.is_struct(column) else -1
    return index >= 0 and (
        pa.types.is_binary(column[index].type) or pa.types.is_large_binary(column[index].type)
    )


def _is_text(column: pa.DataType) -> bool:
    return pa.types.is_string(column) or pa.types.is_large_string(column)


def _is_list_of_slots(column: pa.DataType) -> bool:
    is_list_of_structs = pa.types.is_list(column) and pa.types.is_struct(column.value_type)
    return is_list_of_structs and {field.name for field in column.value_type} == {*Slot._fields}


def _is_list_of_texts(column: pa.DataType) -> bool:
    return (pa.types.is_list(column) or pa.types.is_large_list(column)) and _is_text(column.value_type)


_IMAGE = {"image": (_is_encoded_image, "structs with an encoded image in the field 'bytes'")}
_ONE_CAPTION = {"caption": (_is_text, "strings")}
_SLOTS = {"slots": (_is_list_of_slots, "lists of structs with the fields position, digit and colour")}
_SEVERAL_CAPTIONS = {"captions": (_is_list_of_texts, "lists of strings")}


def _read_shard(path: Path) -> Iterator[tuple[int, pa.Table]]:
    """Read the columns that are of use, some rows at a time, each time with the number of the first.

    Every row of them is filled, but for images beside `captions`.
    """
    first = 0
    try:
        # With buffers, or of several row groups at once, pyarrow keeps what it has read.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            columns = columns_of_use(path, file.schema_arrow)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(IMAGES_AT_A_TIME, row_groups=[group], columns=columns):
                    rows = pa.Table.from_batches([batch])
                    _check_filled(path, first, rows)
                    yield first, rows
                    first += len(rows)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def _check_filled(path: Path, first: int, rows: pa.Table) -> None:
    for name in {"captions"} if "captions" in rows.column_names else rows.column_names:
        if rows[name].null_count:
            row = first + pc.index(rows[name].is_null(), True).as_py()
            raise MxqvaeError(f"{path}, row {row}: {name} is empty; fill it in or leave the row out")


def columns_of_use(path: Path, schema: pa.Schema) -> list[str]:
    """The columns of a shard that are read: `image`, `captions` or else `caption`, and the latter's `slots`.

    Args:
        path: Of the shard, for an error.

    Raises:
        MxqvaeError: Names the column that is missing or of another type.
    """
    captions = _SEVERAL_CAPTIONS if "captions" in schema.names else _ONE_CAPTION
    missing = [name for name in _IMAGE | captions if name not in schema.names]
    if missing:
        has = ", ".join(schema.names)
        raise MxqvaeError(f"{path}: no column {' and '.join(missing)} (it has {has}); rename or add it")
    # Slots are those of one caption.
    rules = _IMAGE | captions | (_SLOTS if captions is _ONE_CAPTION else {})
    columns = {name: rule for name, rule in rules.items() if name in schema.names}
    for name, (has_right_type, wanted) in columns.items():
        if not has_right_type(schema.field(name).type):
            raise MxqvaeError(f"{path}: column {name} must hold {wanted}; convert it")
    return list(columns)


def _captions_of(table: pa.Table) -> list[list[str]]:
    """The captions of each row; an image without any has one that is not known."""
    if "caption" in table.column_names:
        return [[caption] for caption in table["caption"].to_pylist()]
    rows = table["captions"].to_pylist()
    return [[caption for caption in captions if caption.strip()] or [""] for captions in rows]


def _slots_of(row: list[dict[str, Any]]) -> tuple[Slot, ...]:
    return tuple(Slot(slot["position"], slot["digit"], slot["colour"]) for slot in row)


class _DecodedImages:
    """Images that are decoded one by one into one array; pages of it that are not written take no memory."""

    def __init__(self, most: int) -> None:
        self.num = 0
        self._most = most
        self._pixels = np.empty((0, 0, 0, 3), np.uint8)

    def add(self, path: Path, row: int, encoded: bytes | None) -> None:
        decoded = _decode_image(path, row, encoded)
        if not self.num:
            self._pixels = np.empty((self._most, *decoded.shape), np.uint8)
        if decoded.shape != (size := self._pixels[0].shape):
            wrong, right = (f"{width} x {height}" for height, width, _ in (decoded.shape, size))
            raise MxqvaeError(f"{path}, row {row}: image of {wrong} pixels, the first has {right}; resize it")
        self._pixels[self.num] = decoded
        self.num += 1

    def tensor(self) -> Tensor:
        """(M, H, W, 3) uint8."""
        return torch.from_numpy(self._pixels[: self.num])


def _decode_image(path: Path, row: int, encoded: bytes | None) -> np.ndarray:
    """Decode one image, (H, W, 3) uint8."""
    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            return np.asarray(as_shown(image))
    except UNREADABLE:
        raise MxqvaeError(
            f"{path}, row {row}: image damaged or of an unknown format; replace it or leave the row out"
        ) from None
