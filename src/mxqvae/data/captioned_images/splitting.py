"""Deals images to the splits by what they show: the same images and seed, the same splits.

Whatever must stay together, equal images and the images of a group, is a family; families are dealt. Where
the source names splits, those are taken instead.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mxqvae.errors import MxqvaeError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
"""Images are dealt to the first and the last; a published split may be any."""
_SPELLINGS = {
    TRAIN: ("train", "training", "trn", "restval"),  # "restval" as in Karpathy's files of COCO
    VALIDATION: ("validation", "valid", "val", "dev"),
    TEST: ("test", "testing", "tst"),
}
_SPLIT_OF = {spelling: split for split, spellings in _SPELLINGS.items() for spelling in spellings}


class Families:
    """Keys, and which of them belong together (union-find; only keys with relatives take memory)."""

    def __init__(self) -> None:
        self._elder: dict[bytes, bytes] = {}

    def join(self, one: bytes, other: bytes) -> None:
        """Make the families of two keys one."""
        eldest, younger = sorted((self.eldest(one), self.eldest(other)))
        if eldest != younger:
            self._elder[younger] = eldest

    def eldest(self, key: bytes) -> bytes:
        """The smallest key of the family, the same for each of its members."""
        path = []
        while key in self._elder:
            path.append(key)
            key = self._elder[key]
        for younger in path:
            self._elder[younger] = key
        return key


def deal_families(eldest_keys: Sequence[bytes], *, test_share: float, seed: int) -> Mapping[bytes, str]:
    """Deal each family to train or test, by a hash of its eldest key and the seed.

    A family keeps its split when others come or go. Only where that leaves a split empty, the family whose
    hash is nearest to it is moved; a family alone is for training, and with a test share of 0 all are.

    Args:
        eldest_keys: Of every family; repetitions do no harm.

    Returns:
        The split by eldest key.
    """
    positions = {key: position(key, seed) for key in eldest_keys}
    splits = {key: TEST if place < test_share else TRAIN for key, place in positions.items()}
    if positions and TRAIN not in splits.values():
        splits[max(positions, key=positions.__getitem__)] = TRAIN
    elif test_share > 0 and len(positions) > 1 and TEST not in splits.values():
        splits[min(positions, key=positions.__getitem__)] = TEST
    return splits


def position(key: bytes, seed: int, purpose: str = "split") -> float:
    """A number in [0, 1) that key, seed and purpose decide, as good as drawn at random."""
    digest = hashlib.sha256(f"{purpose}:{seed}:".encode() + key).digest()
    # 53 bits: as many as a float holds, so that it is never rounded up to 1.
    return (int.from_bytes(digest[:8]) >> 11) / 2**53


def published_split(name: str, where: str) -> str:
    """The split that a source means by a name such as "val2017".

    Args:
        where: The pair, for an error.

    Raises:
        MxqvaeError: The name is none that is known.
    """
    split = _known_split(name)
    if split is None:
        raise MxqvaeError(f"{where}: unknown split {name!r}; write train, validation or test")
    return split


def splits_of_names(names: Iterable[str]) -> dict[str, str]:
    """The splits that names of folders or subsets mean.

    There are none where a name is unknown, where no images are for training, and where all are.
    """
    split_of = {name: _known_split(name) for name in names}
    known = {name: split for name, split in split_of.items() if split is not None}
    return (
        known
        if len(known) == len(split_of) and TRAIN in known.values() and len({*known.values()}) > 1
        else {}
    )


def first_folder(name: str) -> str:
    """The first folder in a file's name, separated by "/"; empty where there is none."""
    return name.rpartition("/")[0].partition("/")[0]


def top_folder(name: str) -> str:
    """As `first_folder`, of a name as lists of captions give it, those of Windows among them."""
    return first_folder(name.replace("\\", "/").removeprefix("./"))


def splits_of_shards(paths: Sequence[Path]) -> dict[Path, str]:
    """The splits that shards mean by their names, such as `train-00000-of-00002.parquet`, or their folders'.

    There are none where `splits_of_names` finds none.
    """
    for name_of in (_shard_name, _folder_name):
        if splits := splits_of_names(map(name_of, paths)):
            return {path: splits[name_of(path)] for path in paths}
    return {}


def _shard_name(path: Path) -> str:
    return re.sub(r"[\W_]*\d+-of-\d+$", "", path.name.partition(".")[0])


def _folder_name(path: Path) -> str:
    return path.parent.name


def _known_split(name: str) -> str | None:
    return _SPLIT_OF.get(re.sub(r"[\W_]*\d*$", "", name.strip().lower()))
