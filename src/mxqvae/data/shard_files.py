"""The parquet shards of a data set, `data/{split}-NNNNN-of-NNNNN.parquet`."""

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.errors import MxqvaeError

_SHARD_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.parquet")


def find_shards(folder: Path, split: str | None = None) -> dict[str, list[Path]]:
    """The shards of each split, all of them, in order.

    Args:
        folder: Of a data set.
        split: Look for this split alone.

    Raises:
        MxqvaeError: The folder holds no data set or no such split, or a shard of those asked for is missing.
    """
    if not folder.is_dir():
        raise MxqvaeError(f"data set {folder}: no such folder; check it, or build it: `mxqvae data --help`")
    totals: dict[str, int] = {}
    for path in sorted((folder / "data").glob("*")):
        if match := _SHARD_NAME.fullmatch(path.name):
            totals[match["split"]] = max(totals.get(match["split"], 0), int(match["total"]))
    if not totals:
        raise MxqvaeError(
            f"data set {folder}: no data/SPLIT-00000-of-00001.parquet in it; give a folder of `mxqvae data`, "
            f"or make one of your images by `mxqvae data folder {folder} --out DATA`"
        )
    if split is not None and split not in totals:
        remedy = "; build it with a --test-share above 0" if split == "test" else ""
        raise MxqvaeError(
            f"data set {folder}: no split {split!r}; it has {', '.join(sorted(totals))}{remedy}"
        )
    shards = {
        name: [folder / "data" / f"{name}-{number:05}-of-{total:05}.parquet" for number in range(total)]
        for name, total in totals.items()
        if split in (None, name)
    }
    for path in (path for paths in shards.values() for path in paths):
        if not path.exists():
            raise MxqvaeError(f"{path}: shard is missing; add it or build the data set again")
    return shards


def num_rows(path: Path) -> int:
    """The rows of a shard.

    Raises:
        MxqvaeError: It is damaged.
    """
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def data_files(splits: Iterable[str]) -> str:
    """The lines of a data set card that tell the library `datasets` the files of each split."""
    return "\n".join(f"  - {{split: {name}, path: data/{name}-*.parquet}}" for name in splits)


def unreadable(path: Path, error: Exception) -> MxqvaeError:
    """What to raise for a shard that pyarrow cannot read."""
    reason = str(error).partition("\n")[0]
    return MxqvaeError(f"{path}: not a readable parquet file ({reason}); build the data set again")
