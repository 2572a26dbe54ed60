"""Reads a split of a data set into memory.

Any folder of parquet shards with an image and a caption column will do; nothing here knows what they show.
"""

import io
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.caption_grammar import Slot
from mxqvae.errors import MxqvaeError

_SHARD_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.parquet")


class PairDataset:
    """Image-caption pairs in memory.

    Attributes:
        images: (N, H, W, 3) uint8.
        captions: N raw captions.
        slots: Ground truth of each pair, in the order of its caption; None where the data set has none.
    """

    def __init__(
        self, images: Tensor, captions: Sequence[str], slots: Sequence[tuple[Slot, ...]] | None = None
    ) -> None:
        if len(images) != len(captions) or (slots is not None and len(slots) != len(captions)):
            raise ValueError("images, captions and slots must be equal in number")
        self.images = images
        self.captions = list(captions)
        self.slots = None if slots is None else list(slots)

    def __len__(self) -> int:
        return len(self.captions)

    @classmethod
    def from_parquet(cls, folder: Path, split: str) -> "PairDataset":
        """Read and decode `folder/data/{split}-NNNNN-of-NNNNN.parquet`, all shards in order.

        Raises:
            MxqvaeError: Names the folder, split, shard, column or row (from 0) that is missing, damaged or
                unlike the others.
        """
        shards = {path: _read_shard(path) for path in _shard_paths(folder, split)}
        tables = list(shards.values())
        captions = [caption for table in tables for caption in table["caption"].to_pylist()]
        if not captions:
            raise MxqvaeError(f"data set {folder}: split {split!r} holds no pairs; build it again")
        slots = None
        if all("slots" in table.column_names for table in tables):
            slots = [_slots_of(row) for table in tables for row in table["slots"].to_pylist()]
        return cls(_decode_images(shards), captions, slots)


def _shard_paths(folder: Path, split: str) -> list[Path]:
    """Find every shard of a split, in order."""
    if not folder.is_dir():
        raise MxqvaeError(f"data set {folder}: no such folder; build it with `mxqvae data caption-mnist`")
    shards = [match for path in (folder / "data").glob("*") if (match := _SHARD_NAME.fullmatch(path.name))]
    splits = sorted({shard["split"] for shard in shards})
    if not splits:
        raise MxqvaeError(
            f"data set {folder}: no data/*.parquet in it; build it with `mxqvae data caption-mnist`"
        )
    if split not in splits:
        raise MxqvaeError(f"data set {folder}: no split {split!r}; choose from {', '.join(splits)}")
    total = max(int(shard["total"]) for shard in shards if shard["split"] == split)
    paths = [folder / "data" / f"{split}-{number:05}-of-{total:05}.parquet" for number in range(total)]
    for path in paths:
        if not path.exists():
            raise MxqvaeError(f"{path}: shard is missing; add it or build the data set again")
    return paths


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


_REQUIRED = {
    "image": (_is_encoded_image, "structs with an encoded image in the field 'bytes'"),
    "caption": (_is_text, "strings"),
}
_OPTIONAL = {"slots": (_is_list_of_slots, "lists of structs with the fields position, digit and colour")}


def _read_shard(path: Path) -> pa.Table:
    """Read the columns that are of use; every row of them is filled."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(_columns_of_use(path, file.schema_arrow))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise MxqvaeError(
            f"{path}: not a readable parquet file ({reason}); build the data set again"
        ) from None
    for name in table.column_names:
        if table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py()
            raise MxqvaeError(f"{path}, row {row}: {name} is empty; fill it in or leave the row out")
    return table


def _columns_of_use(path: Path, schema: pa.Schema) -> list[str]:
    missing = [name for name in _REQUIRED if name not in schema.names]
    if missing:
        has = ", ".join(schema.names)
        raise MxqvaeError(f"{path}: no column {' and '.join(missing)} (it has {has}); rename or add it")
    columns = {name: rule for name, rule in (_REQUIRED | _OPTIONAL).items() if name in schema.names}
    for name, (has_right_type, wanted) in columns.items():
        if not has_right_type(schema.field(name).type):
            raise MxqvaeError(f"{path}: column {name} must hold {wanted}; convert it")
    return list(columns)


def _slots_of(row: list[dict[str, Any]]) -> tuple[Slot, ...]:
    return tuple(Slot(slot["position"], slot["digit"], slot["colour"]) for slot in row)


def _decode_images(shards: dict[Path, pa.Table]) -> Tensor:
    """Decode the images of all shards, in order, into one tensor."""
    encoded = [
        (path, row, image)
        for path, table in shards.items()
        for row, image in enumerate(table.flatten()["image.bytes"].to_pylist())
    ]
    size = _decode_image(*encoded[0]).shape
    pixels = np.empty((len(encoded), *size), np.uint8)
    # One thread: for small images the interpreter's lock makes two slower than one.
    for index, (path, row, image) in enumerate(encoded):
        decoded = _decode_image(path, row, image)
        if decoded.shape != size:
            wrong, right = (f"{width} x {height}" for height, width, _ in (decoded.shape, size))
            raise MxqvaeError(f"{path}, row {row}: image of {wrong} pixels, the first has {right}; resize it")
        pixels[index] = decoded
    return torch.from_numpy(pixels)


def _decode_image(path: Path, row: int, encoded: bytes | None) -> np.ndarray:
    """Decode one image, (H, W, 3) uint8."""
    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            return np.asarray(image.convert("RGB"))
    # What Pillow raises for a damaged file depends on its format and on the damage.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        raise MxqvaeError(
            f"{path}, row {row}: image damaged or of an unknown format; replace it or leave the row out"
        ) from None
