"""Keeps read pairs on disk until all are known, and makes one row of those that show the same image."""

import hashlib
import json
import struct
from array import array
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from mxqvae.data.captioned_images.captions import tidy_captions
from mxqvae.data.captioned_images.problems import Problem, ProblemKind, ProblemLog
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.splitting import (
    SPLITS,
    TEST,
    VALIDATION,
    Families,
    deal_families,
)
from mxqvae.data.captioned_images.square_image import SquareImage

_LENGTHS = struct.Struct("<II")  # bytes of the text and of the image that follow


class CollectedPair(NamedTuple):
    """A row of the data set."""

    name: str
    """Of the first pair that shows the image."""
    captions: tuple[str, ...]
    """Of all pairs that do, none twice; empty where there is none."""
    png: bytes | None
    """None where there is no image."""
    key: bytes
    """SHA-256 of the pixels, or of the captions where there is no image."""


class PairCollection:
    """Pairs in a file; in memory there are about 200 bytes for each, whatever its image takes."""

    def __init__(self, file: BinaryIO, problems: ProblemLog) -> None:
        self._file = file
        self._problems = problems
        self._starts = array("Q")
        self._keys: list[bytes] = []
        self._published_splits: dict[int, str] = {}
        self._number_of: dict[tuple[bytes, str | None], int] = {}
        self._twins: dict[int, list[int]] = {}  # by the number of the first pair with the same image
        self._families = Families()
        self._splits: list[str] = []

    def add(self, pair: SourcePair, square: SquareImage | None) -> None:
        """Note what is wrong with a pair, and keep it if anything of it can be used.

        Args:
            square: Of the pair's image; None where it has none.

        Raises:
            MxqvaeError: As `ProblemLog.add`.
        """
        if not pair.is_named:
            self._problems.add(Problem(ProblemKind.UNNAMED, pair.name))
            return
        captions, problems = tidy_captions(pair.name, pair.captions)
        if square is not None:
            problems = [Problem(kind, pair.name, detail) for kind, detail in square.problems] + problems
        for problem in problems:
            self._problems.add(problem)
        if (square is None and not captions) or (square is not None and square.png is None):
            return
        png, key = (None, _hash_captions(captions)) if square is None else square[:2]
        if pair.group is not None:
            self._families.join(key, b"group:" + pair.group.encode("utf-8", "surrogatepass"))
        number = len(self._keys)
        if pair.split is not None and png is not None:
            self._note_other_split(pair, key)
        first = self._number_of.setdefault((key, pair.split), number)
        if first != number:
            self._twins.setdefault(first, []).append(number)
            first_name = self._read(first, with_image=False).name
            # A list may name an image in several places.
            if png is not None and first_name != pair.name:
                self._problems.add(Problem(ProblemKind.DUPLICATE, pair.name, f"as {first_name}"))
        if pair.split is not None:
            self._published_splits[number] = pair.split
        # A twin's image is there already.
        self._append(pair.name, captions, None if first != number else png, key)

    def deal(self, *, test_share: float, seed: int) -> None:
        """Deal all pairs to splits, those of one family to one; a published split is kept.

        Where there are published splits for validation and none for testing, those become the test split.
        """
        published = self._published_splits
        if TEST not in published.values():
            published = {
                number: TEST if split == VALIDATION else split for number, split in published.items()
            }
        eldest = [self._families.eldest(key) for key in self._keys]
        split_of = deal_families(eldest, test_share=test_share, seed=seed)
        self._splits = [published.get(number) or split_of[key] for number, key in enumerate(eldest)]

    def has_published_splits(self) -> bool:
        """Whether pairs were not dealt, but are where their source has them."""
        return bool(self._published_splits)

    def count(self, split: str) -> int:
        """Rows of a split, once they are dealt."""
        return sum(1 for _ in self._numbers(split))

    def pairs(self, split: str, *, with_images: bool = True) -> Iterator[CollectedPair]:
        """The rows of a split, in the order of the source; without images, `png` is None throughout."""
        for number in self._numbers(split):
            pair = self._read(number, with_images)
            if number in self._twins:
                others = [self._read(twin, with_image=False) for twin in self._twins[number]]
                captions = (caption for twin in (pair, *others) for caption in twin.captions)
                pair = pair._replace(captions=tuple(dict.fromkeys(captions)))
            yield pair

    def _numbers(self, split: str) -> Iterator[int]:
        twins = {twin for others in self._twins.values() for twin in others}
        return (
            number
            for number, its_split in enumerate(self._splits)
            if its_split == split and number not in twins
        )

    def _note_other_split(self, pair: SourcePair, key: bytes) -> None:
        if (key, pair.split) in self._number_of:
            return  # said of the first of those in this split
        for split in SPLITS:
            number = self._number_of.get((key, split))
            if number is not None:
                detail = f"as {self._read(number, with_image=False).name} of {split}"
                self._problems.add(Problem(ProblemKind.IN_TWO_SPLITS, pair.name, detail))

    def _append(self, name: str, captions: list[str], png: bytes | None, key: bytes) -> None:
        text = json.dumps([name, captions]).encode()
        self._starts.append(self._file.seek(0, 2))
        self._keys.append(key)
        self._file.write(_LENGTHS.pack(len(text), len(png or b"")) + text + (png or b""))

    def _read(self, number: int, with_image: bool) -> CollectedPair:
        self._file.seek(self._starts[number])
        text_size, image_size = _LENGTHS.unpack(self._file.read(_LENGTHS.size))
        name, captions = json.loads(self._file.read(text_size))
        png = self._file.read(image_size) if with_image and image_size else None
        return CollectedPair(name, tuple(captions), png, self._keys[number])


def _hash_captions(captions: list[str]) -> bytes:
    return hashlib.sha256("\n".join(captions).encode()).digest()
