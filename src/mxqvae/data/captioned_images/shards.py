"""Writes a split of captioned images to parquet shards, and says what it holds.

`PairDataset.from_parquet` and `datasets.load_dataset` read them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.config import configuration
from mxqvae.data.captioned_images.collection import CollectedPair

SHARD_SIZE = 10_000
"""Rows in a file."""
ROW_GROUP_SIZE = 1000
"""Rows in memory at a time."""

_FEATURES = {
    "image": {"_type": "Image"},
    # A list around one value is the spelling of a list that old and new `datasets` share.
    "captions": [{"dtype": "string", "_type": "Value"}],
}
SCHEMA = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "captions": pa.list_(pa.string()),
    },
    # Tells `datasets` that the image column holds images.
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
"""The columns of every split. An image that is null is not known; so are captions that are an empty list."""


@configuration
class SplitCounts:
    """What one split holds."""

    num_rows: int
    """Rows: images, and captions without an image."""
    num_images: int
    """Images, all different."""
    num_captions: int
    """Captions."""
    num_images_without_caption: int
    """Images without any caption."""
    num_rows_without_image: int
    """Rows with captions alone."""
    pixels_sha256: str
    """Of the SHA-256 of each image's pixels, (H, W, 3) uint8, in order. PNG files differ where zlib does."""
    captions_sha256: str
    """Of all captions, UTF-8, a line feed after each and one more after each row."""


class _Counter:
    """Counts rows as they are written."""

    def __init__(self) -> None:
        self._nums = dict.fromkeys(
            ("rows", "images", "captions", "images_without_caption", "rows_without_image"), 0
        )
        self._pixels, self._captions = hashlib.sha256(), hashlib.sha256()

    def add(self, pair: CollectedPair) -> None:
        has_image = pair.png is not None
        self._nums["rows"] += 1
        self._nums["images"] += has_image
        self._nums["captions"] += len(pair.captions)
        self._nums["images_without_caption"] += not pair.captions
        self._nums["rows_without_image"] += not has_image
        if has_image:
            self._pixels.update(pair.key)
        self._captions.update("".join(f"{caption}\n" for caption in (*pair.captions, "")).encode())

    def counts(self) -> SplitCounts:
        return SplitCounts(
            **{f"num_{name}": num for name, num in self._nums.items()},
            pixels_sha256=self._pixels.hexdigest(),
            captions_sha256=self._captions.hexdigest(),
        )


def write_split(folder: Path, split: str, pairs: Iterable[CollectedPair], *, num_rows: int) -> SplitCounts:
    """Write `folder/data/{split}-NNNNN-of-NNNNN.parquet`.

    Args:
        num_rows: How many pairs there are, which tells the number of shards.
    """
    (folder / "data").mkdir(exist_ok=True)
    counter = _Counter()
    pairs = iter(pairs)
    total = -(-num_rows // SHARD_SIZE)
    for shard in range(total):
        path = folder / "data" / f"{split}-{shard:05}-of-{total:05}.parquet"
        with pq.ParquetWriter(path, SCHEMA) as file:
            for group in _groups(islice(pairs, SHARD_SIZE)):
                file.write_table(pa.Table.from_pylist([_row(pair) for pair in group], schema=SCHEMA))
                for pair in group:
                    counter.add(pair)
    return counter.counts()


def _groups(pairs: Iterator[CollectedPair]) -> Iterator[list[CollectedPair]]:
    while group := list(islice(pairs, ROW_GROUP_SIZE)):
        yield group


def _row(pair: CollectedPair) -> dict[str, object]:
    image = None if pair.png is None else {"bytes": pair.png, "path": pair.name}
    return {"image": image, "captions": pair.captions}
