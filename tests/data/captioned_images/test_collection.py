import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mxqvae.data.captioned_images.collection import PairCollection
from mxqvae.data.captioned_images.problems import ProblemKind, open_problem_log
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.square_image import SquareImage

Add = Callable[..., None]


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "problems.jsonl"


@pytest.fixture
def collection(log_path: Path) -> Iterator[PairCollection]:
    with open_problem_log(log_path, strict=False) as problems:
        yield PairCollection(io.BytesIO(), problems)


@pytest.fixture
def add(collection: PairCollection) -> Add:
    """Add a pair: `add(name, pixels, *captions, **more)`."""

    def add_pair(name: str, pixels: bytes | None, *captions: str, **more: Any) -> None:
        square = None if pixels is None else SquareImage(b"png of " + pixels, pixels)
        collection.add(SourcePair(name, None, captions, **more), square)

    return add_pair


def rows(collection: PairCollection, split: str = "train") -> list[tuple]:
    assert collection.count(split) == len(list(collection.pairs(split)))
    return [(pair.name, pair.png, pair.captions) for pair in collection.pairs(split)]


def test_an_image_that_no_list_names_is_noted_and_left_out(collection: PairCollection, add: Add):
    add("a", b"1", "one")
    add("b", None, is_named=False)
    collection.deal(test_share=0, seed=0)
    assert rows(collection) == [("a", b"png of 1", ("one",))]
    assert collection._problems.counts()["unnamed"].examples == ("b",)


def test_the_same_image_is_one_row(collection: PairCollection, add: Add):
    add("a", b"1", "one", "two")
    add("b", b"2", "three")
    add("c", b"1", "two", "four")
    add("d", b"1")
    collection.deal(test_share=0, seed=0)
    assert rows(collection) == [
        ("a", b"png of 1", ("one", "two", "four")),
        ("b", b"png of 2", ("three",)),
    ]
    counts = collection._problems.counts()
    assert counts["duplicate"].num == 2
    assert counts["duplicate"].examples == ("c", "d")


def test_an_image_that_a_list_names_twice_is_no_duplicate(collection: PairCollection, add: Add):
    for name, pixels, caption in (("a", b"1", "one"), ("b", b"2", "two"), ("a", b"1", "three")):
        add(name, pixels, caption)
    collection.deal(test_share=0, seed=0)
    assert rows(collection) == [("a", b"png of 1", ("one", "three")), ("b", b"png of 2", ("two",))]
    assert collection._problems.counts() == {}


def test_halves_are_kept(collection: PairCollection, add: Add):
    add("image", b"1")
    add("captions", None, "one", "two")
    add("the same captions", None, "one", "two")
    add("nothing", None)
    add("empty", None, " ")
    collection.deal(test_share=0, seed=0)
    assert rows(collection) == [("image", b"png of 1", ()), ("captions", None, ("one", "two"))]
    assert [pair.png for pair in collection.pairs("train", with_images=False)] == [None, None]


def test_an_image_that_is_left_out_takes_its_captions_along(collection: PairCollection, log_path: Path):
    broken = SquareImage(None, b"", ((ProblemKind.BROKEN, "half a file"),))
    collection.add(SourcePair("é.png", None, ("one",)), broken)
    turned = SquareImage(b"png", b"1", ((ProblemKind.ROTATED, ""), (ProblemKind.CMYK, "")))
    collection.add(SourcePair("b.png", None, ("", "two")), turned)
    collection.deal(test_share=0, seed=0)
    assert rows(collection) == [("b.png", b"png", ("two",))]
    collection._problems._file.flush()
    lines = [json.loads(line) for line in log_path.read_text(encoding="utf-8").splitlines()]
    assert [(line["kind"], line["name"], line["detail"]) for line in lines] == [
        ("broken", "é.png", "half a file"),
        ("rotated", "b.png", ""),
        ("cmyk", "b.png", ""),
        ("empty", "b.png", ""),
    ]


def test_groups_and_twins_stay_together(collection: PairCollection, add: Add):
    for number in range(200):
        add(f"{number}", number.to_bytes(2), f"caption {number}", group=f"group {number // 4}")
    # The last image of each family of two groups is the first of the next.
    for number in range(0, 200, 8):
        add(f"twin {number}", number.to_bytes(2), group=f"group {number // 4 + 1}")
    collection.deal(test_share=0.3, seed=0)
    splits = {name: split for split in ("train", "test") for name, *_ in rows(collection, split)}
    assert len(splits) == 200
    for number in range(0, 200, 8):
        assert len({splits[str(member)] for member in range(number, number + 8)}) == 1
    assert 20 < collection.count("test") < 100


def test_published_splits_go_before_the_seed(collection: PairCollection, add: Add):
    for number in range(20):
        add(f"{number}", number.to_bytes(2), "x", split="test" if number < 15 else "train")
    add("leak", (3).to_bytes(2), "y", split="train")
    collection.deal(test_share=0.1, seed=0)
    assert collection.count("test") == 15
    assert [name for name, *_ in rows(collection)] == ["15", "16", "17", "18", "19", "leak"]


@pytest.mark.parametrize("others", [(), ("test",)])
def test_validation_images_are_for_testing_where_no_others_are(
    collection: PairCollection, add: Add, others: tuple[str, ...]
):
    for number, split in enumerate(("train", "validation", *others)):
        add(split, number.to_bytes(1), "x", split=split)
    collection.deal(test_share=0, seed=0)
    assert collection.has_published_splits()
    assert [name for name, *_ in rows(collection, "train")] == ["train"]
    assert [name for name, *_ in rows(collection, "test")] == (["test"] if others else ["validation"])
    assert [name for name, *_ in rows(collection, "validation")] == (["validation"] if others else [])


def test_images_in_two_published_splits_are_told(collection: PairCollection, add: Add, log_path: Path):
    for name, split in (("a", "train"), ("b", "test"), ("c", "test"), ("d", "train")):
        add(name, b"1", name, split=split)
    collection.deal(test_share=0.1, seed=0)
    assert rows(collection) == [("a", b"png of 1", ("a", "d"))]
    assert rows(collection, "test") == [("b", b"png of 1", ("b", "c"))]
    counts = collection._problems.counts()
    assert (counts["in_two_splits"].num, counts["in_two_splits"].examples) == (1, ("b",))
    assert counts["duplicate"].examples == ("c", "d")
