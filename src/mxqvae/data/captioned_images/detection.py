"""Finds out in which layout captioned images lie."""

import re
from collections.abc import Sequence
from pathlib import Path

from mxqvae.data.captioned_images.coco_json import CocoJson
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.hub import HubDataset
from mxqvae.data.captioned_images.image_files import is_hidden, is_image_name, walk_files
from mxqvae.data.captioned_images.listed_tars import ListedTars, lists_in_tar
from mxqvae.data.captioned_images.metadata_file import (
    KAGGLE_NAME,
    METADATA_NAMES,
    METADATA_SUFFIXES,
    MetadataFiles,
    has_header,
    names_images,
)
from mxqvae.data.captioned_images.parquet_files import ParquetFiles, has_images
from mxqvae.data.captioned_images.source import PairSource, printable
from mxqvae.data.captioned_images.tar_shards import TarShards, is_tar_name
from mxqvae.data.captioned_images.text_files import TextFiles
from mxqvae.errors import MxqvaeError

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[\w.+-]+)?")


def open_source(path: str, asked: AskedColumns, images: Path | None = None) -> PairSource:
    """Find out what `path` is.

    A folder is looked through for, in this order: a metadata file (`metadata.jsonl`, `metadata.csv`,
    `captions.jsonl`, in it or in the folders in it), Kaggle's `captions.txt`, parquet files (in it or in the
    folders in it), one other `.jsonl` or `.csv`, tar archives, images. A `.jsonl` or `.csv` without a column
    for images is passed over where text files are there, a parquet file also where tars are. Hidden files are
    passed over. A file is told by its suffix. What does not exist and looks like `user/name` or
    `user/name:configuration` is a data set of the hub.

    Args:
        images: Where the images of a metadata, parquet or COCO file lie, where that is not beside it.

    Raises:
        MxqvaeError: Nothing fits, and says what was looked for; pairs lie beside the folders of metadata
            files; or the layout takes no `images`, or no such columns.
    """
    place = Path(path)
    if images is not None and not images.is_dir():
        raise MxqvaeError(f"--images {images}: no such folder; give the folder with the images")
    if place.is_dir():
        return _open_folder(place, asked, images)
    if place.is_file():
        return _open_file(place, asked, images)
    if _HUB_NAME.fullmatch(path):
        _refuse_images(images, "data sets of the hub")
        return HubDataset(path, asked)
    raise MxqvaeError(f"{path}: no such file or folder; give one, or a data set of the hub as user/name")


def _open_folder(folder: Path, asked: AskedColumns, images: Path | None) -> PairSource:
    if lists := _metadata_lists([folder], asked):
        return MetadataFiles(lists, asked, images)
    if lists := _metadata_lists(_seen(folder, "*/"), asked):
        _refuse_other_pairs(folder, lists)
        return MetadataFiles(lists, asked, images)
    texts = TextFiles(folder)
    shards = [path for path in _seen(folder, "*") if path.is_file() and is_tar_name(path.name)]
    for place in ("", "*/"):
        if paths := _seen(folder, f"{place}*.parquet"):
            with_images = [path for path in paths if has_images(path, asked)]
            # Beside what img2dataset has fetched lie tables of where it was.
            if len(with_images) < len(paths) and (shards or texts.first_pair()):
                paths = with_images
            if paths:
                return ParquetFiles(paths, asked, images)
    lists = [path for path in _seen(folder, "*") if path.suffix.lower() in METADATA_SUFFIXES]
    if lists and asked == AskedColumns() and texts.first_pair():
        lists = [path for path in lists if names_images(path)]
    if len(lists) == 1:
        return MetadataFiles(lists, asked, images)
    if lists:
        raise MxqvaeError(
            f"{folder}: holds {', '.join(path.name for path in lists)}; give one of them as PATH"
        )
    if shards:
        _refuse_images(images, "tar archives")
        return _open_tars(shards, asked)
    if any(is_image_name(path.name) for path in walk_files(folder)):
        _refuse_columns(asked, TextFiles.layout)
        _refuse_images(images, TextFiles.layout)
        return texts
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


def _seen(folder: Path, pattern: str) -> list[Path]:
    """What fits a pattern below a folder, in order, but for what is hidden."""
    return sorted(
        path for path in folder.glob(pattern) if not any(map(is_hidden, path.relative_to(folder).parts))
    )


def _metadata_lists(folders: Sequence[Path], asked: AskedColumns) -> list[Path]:
    """Of each folder the list whose name is looked for first, if it has any."""
    lists = []
    for folder in folders:
        paths = [path for name in METADATA_NAMES if (path := folder / name).exists()]
        kaggle = folder / KAGGLE_NAME
        if paths:
            lists.append(paths[0])
        elif kaggle.is_file() and has_header(kaggle, asked):
            lists.append(kaggle)
    return lists


def _refuse_other_pairs(folder: Path, lists: Sequence[Path]) -> None:
    """Refuse pairs beside the folders of lists, which would be lost in silence."""
    other = TextFiles(folder).first_pair(outside={path.parent.name for path in lists})
    if other is not None:
        raise MxqvaeError(
            f"{folder}: holds {lists[0].relative_to(folder)}, and images with texts elsewhere, such as "
            f"{printable(other)}; give the folder of one kind as PATH, or move the other away"
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
        _refuse_images(images, "tar archives")
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


def _refuse_images(images: Path | None, layout: str) -> None:
    if images is not None:
        raise MxqvaeError(
            f"--images {images}: goes with a list, parquet or COCO file, not with {layout}; leave it out"
        )
