"""Finds out in which layout captioned images lie."""

import re
from pathlib import Path

from mxqvae.data.captioned_images.coco_json import CocoJson
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.hub import HubDataset
from mxqvae.data.captioned_images.image_files import is_image_name, walk_files
from mxqvae.data.captioned_images.listed_tars import ListedTars, lists_in_tar
from mxqvae.data.captioned_images.metadata_file import (
    KAGGLE_NAME,
    METADATA_NAMES,
    METADATA_SUFFIXES,
    MetadataFiles,
    has_header,
    names_images,
)
from mxqvae.data.captioned_images.parquet_files import ParquetFiles
from mxqvae.data.captioned_images.source import PairSource
from mxqvae.data.captioned_images.tar_shards import TarShards, is_tar_name
from mxqvae.data.captioned_images.text_files import TextFiles
from mxqvae.errors import MxqvaeError

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def open_source(path: str, asked: AskedColumns, images: Path | None = None) -> PairSource:
    """Find out what `path` is.

    A folder is looked through for, in this order: a metadata file (`metadata.jsonl`, `metadata.csv`,
    `captions.jsonl`, in it or in the folders in it), Kaggle's `captions.txt`, parquet files (in it or in the
    folders in it), one other `.jsonl` or `.csv`, tar archives, images. A `.jsonl` or `.csv` without a column
    for images is passed over where text files are there. A file is told by its suffix. What does not exist
    and looks like `user/name` is a data set of the hub.

    Args:
        images: Where the images of a metadata, parquet or COCO file lie, where that is not beside it.

    Raises:
        MxqvaeError: Nothing fits; says what was looked for.
    """
    place = Path(path)
    if images is not None and not images.is_dir():
        raise MxqvaeError(f"--images {images}: no such folder; give the folder with the images")
    if place.is_dir():
        return _open_folder(place, asked, images)
    if place.is_file():
        return _open_file(place, asked, images)
    if _HUB_NAME.fullmatch(path):
        return HubDataset(path, asked)
    raise MxqvaeError(f"{path}: no such file or folder; give one, or a data set of the hub as user/name")


def _open_folder(folder: Path, asked: AskedColumns, images: Path | None) -> PairSource:
    for place in ("", "*/"):
        for name in METADATA_NAMES:
            if paths := sorted(folder.glob(place + name)):
                return MetadataFiles(paths, asked, images)
        if paths := [path for path in sorted(folder.glob(place + KAGGLE_NAME)) if has_header(path, asked)]:
            return MetadataFiles(paths, asked, images)
    for place in ("", "*/"):
        if paths := sorted(folder.glob(f"{place}*.parquet")):
            return ParquetFiles(paths, asked, images)
    lists = sorted(path for path in folder.iterdir() if path.suffix.lower() in METADATA_SUFFIXES)
    if lists and asked == AskedColumns() and TextFiles(folder).has_pairs():
        lists = [path for path in lists if names_images(path)]
    if len(lists) == 1:
        return MetadataFiles(lists, asked, images)
    if lists:
        raise MxqvaeError(
            f"{folder}: holds {', '.join(path.name for path in lists)}; give one of them as PATH"
        )
    if shards := sorted(path for path in folder.iterdir() if path.is_file() and is_tar_name(path.name)):
        return _open_tars(shards, asked)
    if any(is_image_name(path.name) for path in walk_files(folder)):
        _refuse_columns(asked, TextFiles.layout)
        return TextFiles(folder)
    if images is not None:
        raise MxqvaeError(
            f"--images goes with a list, parquet or COCO file, and {folder} holds none; for .txt captions, "
            "give the folder that holds both them and the images"
        )
    raise MxqvaeError(
        f"{folder}: no captioned images in it; looked for metadata.jsonl, metadata.csv, captions.jsonl, "
        "captions.txt with columns, one other *.jsonl, *.csv or *.tsv, *.parquet, *.tar and images; of COCO, "
        "give the .json itself"
    )


def _open_file(path: Path, asked: AskedColumns, images: Path | None) -> PairSource:
    suffix = path.suffix.lower()
    if suffix in (*METADATA_SUFFIXES, ".txt"):
        return MetadataFiles([path], asked, images)
    if suffix == ".parquet":
        return ParquetFiles([path], asked, images)
    if suffix == ".json":
        _refuse_columns(asked, CocoJson.layout)
        return CocoJson(path, images)
    if is_tar_name(path.name):
        return _open_tars([path], asked)
    raise MxqvaeError(
        f"{path}: no known layout; give a folder, or a file that ends in .jsonl, .csv, .tsv, .parquet, .tar "
        "or, captions of COCO, .json"
    )


def _open_tars(paths: list[Path], asked: AskedColumns) -> PairSource:
    lists = {path: lists_in_tar(path) for path in paths}
    without = [path for path in paths if not lists[path]]
    if len(without) == len(paths):
        return TarShards(paths, asked)
    if without:
        raise MxqvaeError(f"{without[0]}: no {', '.join(METADATA_NAMES)} in it, as others have; move it away")
    return ListedTars(lists, asked)


def _refuse_columns(asked: AskedColumns, layout: str) -> None:
    for role, column in asked._asdict().items():
        if column is not None:
            raise MxqvaeError(f"--{role}-column {column}: {layout} have no columns; leave it out")
