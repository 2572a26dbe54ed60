"""Tar archives that hold a list of captions, such as `metadata.jsonl`, and the images that it names."""

import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mxqvae.data.captioned_images.caption_list import CaptionList
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.image_files import TarImageFinder, files_in_tar
from mxqvae.data.captioned_images.metadata_file import IMAGE_FOLDERS, METADATA_NAMES
from mxqvae.data.captioned_images.source import FileRange, SourcePair
from mxqvae.data.captioned_images.splitting import splits_of_shards
from mxqvae.data.captioned_images.tar_archive import damage_is_named, is_compressed


class ListedTars:
    """Uncompressed archives, each with lists of its own; file names are relative to the list."""

    layout = "captions in a metadata file in a tar archive"

    def __init__(self, lists: Mapping[Path, Sequence[CaptionList]], asked: AskedColumns) -> None:
        """`lists` is what `lists_in_tar` found in each archive."""
        self._lists = lists
        self._asked = asked

    def count(self) -> int:
        return sum(captions.count() for lists in self._lists.values() for captions in lists)

    def __iter__(self) -> Iterator[SourcePair]:
        published = splits_of_shards(list(self._lists))
        for path, lists in self._lists.items():
            # Of archives that name none, the folders in them may.
            in_it = splits_of_shards([Path(captions.where) for captions in lists])
            for captions in lists:
                split = published.get(path) or in_it.get(Path(captions.where))
                yield from captions.pairs(self._asked, split)


def lists_in_tar(path: Path) -> list[CaptionList]:
    """The lists of one name, of the first name in `METADATA_NAMES` that an uncompressed archive has.

    There are none in a compressed archive.

    Raises:
        MxqvaeError: The archive is damaged.
    """
    if is_compressed(path):
        return []
    with damage_is_named(path):
        files = files_in_tar(path)
    for list_name in METADATA_NAMES:
        if names := sorted(name for name in files if posixpath.basename(name) == list_name):
            return [_list(path, files, name) for name in names]
    return []


def _list(path: Path, files: Mapping[str, FileRange], name: str) -> CaptionList:
    place = files[name]
    folders = [posixpath.join(posixpath.dirname(name), folder) for folder in IMAGE_FOLDERS]
    finder = TarImageFinder(path, files, folders)
    return CaptionList(f"{path}/{name}", lambda: io.BytesIO(place.read()), finder.find)
