from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.captioned_images.splitting import (
    TEST,
    TRAIN,
    VALIDATION,
    Families,
    deal_families,
    position,
    published_split,
    splits_of_names,
    splits_of_shards,
)
from mxqvae.errors import MxqvaeError

KEYS = st.binary(max_size=2)


@given(st.lists(st.tuples(KEYS, KEYS)), st.randoms())
def test_families_are_connected_keys(joined: list[tuple[bytes, bytes]], random):
    families = Families()
    for one, other in joined:
        families.join(one, other)
    # The oracle: spread the smallest key along the pairs until nothing changes.
    smallest = {key: key for pair in joined for key in pair}
    for _ in smallest:
        for one, other in joined:
            smallest[one] = smallest[other] = min(smallest[one], smallest[other])
    assert {key: families.eldest(key) for key in smallest} == smallest
    random.shuffle(joined)
    shuffled = Families()
    for one, other in joined:
        shuffled.join(other, one)
    assert all(shuffled.eldest(key) == families.eldest(key) for key in smallest)
    assert families.eldest(b"alone") == b"alone"


@given(st.sets(st.binary(max_size=8), min_size=2), st.integers(0, 2**70), st.floats(0.01, 0.99))
def test_each_split_gets_some(keys: set[bytes], seed: int, test_share: float):
    splits = deal_families(sorted(keys), test_share=test_share, seed=seed)
    assert set(splits.values()) == {TRAIN, TEST}
    assert splits.keys() == keys


def test_a_share_of_nothing_and_a_family_alone():
    assert set(deal_families([b"a", b"b", b"c"], test_share=0, seed=0).values()) == {TRAIN}
    for seed in range(10):
        assert deal_families([b"a", b"a"], test_share=0.9, seed=seed) == {b"a": TRAIN}
    assert deal_families([], test_share=0.5, seed=0) == {}


def test_shares_seeds_and_newcomers():
    keys = [number.to_bytes(4) for number in range(20_000)]
    splits = deal_families(keys, test_share=0.1, seed=0)
    assert abs(sum(split == TEST for split in splits.values()) - 2000) < 4.5 * (20_000 * 0.1 * 0.9) ** 0.5
    other_seed = deal_families(keys, test_share=0.1, seed=1)
    in_both = sum(splits[key] == other_seed[key] == TEST for key in keys)
    assert abs(in_both - 200) < 4.5 * 200**0.5
    some = deal_families(keys[::-3], test_share=0.1, seed=0)
    assert all(splits[key] == split for key, split in some.items())
    # A larger share takes nothing back.
    larger = deal_families(keys, test_share=0.2, seed=0)
    assert all(larger[key] == TEST for key, split in splits.items() if split == TEST)


@given(st.binary(), st.integers(0, 2**70))
def test_positions(key: bytes, seed: int):
    assert 0 <= position(key, seed) < 1
    assert position(key, seed) == position(key, seed) != position(key, seed + 1)
    assert position(key, seed) != position(key, seed, "sheet")


def test_positions_are_the_same_on_every_machine():
    # If this fails, existing data sets can't be rebuilt from their seed: raise manifest.VERSION.
    assert f"{position(b'key', 7):.12f}" == "0.193698836469"


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("train", " Train ", "training", "trn", "train2017", "train_0", "restval"), TRAIN),
        (("validation", "valid", "VAL", "dev", "val2017"), VALIDATION),
        (("test", "testing", "tst", "test-2"), TEST),
    ],
)
def test_spellings_of_splits(names: tuple[str, ...], split: str):
    assert {published_split(name, "row 1") for name in names} == {split}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train", "test"], [TRAIN, TEST]),
        (["train2017", "val2017", "Test"], [TRAIN, VALIDATION, TEST]),
        (["train"], []),  # nothing is held out
        (["train", "training"], []),
        (["validation", "test"], []),  # nothing to train on
        (["train", "test", "extra"], []),
        (["train", "test", ""], []),
        ([], []),
    ],
)
def test_names_that_tell_splits(names: list[str], splits: list[str]):
    assert splits_of_names(names) == dict(zip(names, splits, strict=False))


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["data/train-00000-of-00002.parquet", "data/test-00000-of-00001.parquet"], [TRAIN, TEST]),
        (["train_0.tar.gz", "val_0.tar.gz"], [TRAIN, VALIDATION]),
        (["x/train/0000.parquet", "x/test/0000.parquet"], [TRAIN, TEST]),
        (["train/metadata.jsonl", "test/metadata.jsonl"], [TRAIN, TEST]),
        (["train/test-0.parquet", "test/test-0.parquet"], [TRAIN, TEST]),
        (["train-0.tar", "0.tar"], []),
        (["train/train.parquet"], []),
    ],
)
def test_splits_of_shards(names: list[str], splits: list[str]):
    paths = list(map(Path, names))
    assert splits_of_shards(paths) == dict(zip(paths, splits, strict=False))


@pytest.mark.parametrize("name", ["", "2017", "trainer", "extra"])
def test_unknown_splits(name: str):
    with pytest.raises(MxqvaeError, match=f"row 1: unknown split '{name}'; write train, validation or test"):
        published_split(name, "row 1")
