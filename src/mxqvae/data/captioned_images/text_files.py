"""Images with a text file of the same name beside each; every line of it is a caption."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from mxqvae.data.captioned_images.captions import captions_in_text
from mxqvae.data.captioned_images.image_files import is_image_name, walk_files
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable

NOT_CAPTIONS = ("readme", "license", "licence", "copying", "notice", "credits", "attribution")
"""Text files that accompany a folder, and speak of no image."""


class TextFiles:
    """A folder, read with all folders in it."""

    layout = "images with text files beside them"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self) -> int:
        return sum(is_image_name(path.name) for path in walk_files(self._folder))

    def __iter__(self) -> Iterator[SourcePair]:
        files = (path for path in walk_files(self._folder) if _is_text(path) or is_image_name(path.name))
        for _, files_of_folder in groupby(files, lambda path: path.parent):
            # Files of one stem need not follow each other: "a.jpg", "a-b.jpg", "a.txt" sort otherwise.
            by_stem: dict[str, list[Path]] = {}
            for path in files_of_folder:
                by_stem.setdefault(path.stem, []).append(path)
            for paths in by_stem.values():
                yield from self._pairs(paths)

    def _pairs(self, paths: list[Path]) -> Iterator[SourcePair]:
        texts = [path for path in paths if _is_text(path)]
        images = [path for path in paths if not _is_text(path)]
        captions = tuple(caption for path in texts for caption in captions_in_text(path.read_bytes()))
        for path in images:
            yield SourcePair(self._name(path), FileRange(str(path)), captions)
        if not images and paths[0].stem.lower() not in NOT_CAPTIONS:
            yield SourcePair(self._name(paths[0]), None, captions)

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self._folder).as_posix())


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt"
