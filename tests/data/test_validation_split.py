import pytest
import torch

from mxqvae.data.pairs import PairDataset
from mxqvae.data.validation_split import FEWEST_PAIRS, LARGEST_FAMILY, MOST_HELD_OUT, split_validation


def pairs_of(captions: list[str], numbers: list[int] | None = None) -> PairDataset:
    numbers = list(range(len(captions))) if numbers is None else numbers
    images = torch.zeros(max(numbers) + 1, 1, 1, 3, dtype=torch.uint8)
    return PairDataset(images, captions, image_numbers=torch.tensor(numbers))


def test_a_share_is_held_out_and_nothing_is_lost():
    learned, held_out = split_validation(pairs_of([f"a {number}" for number in range(4_000)]), 0.05)
    assert sorted([*learned.tolist(), *held_out.tolist()]) == list(range(4_000))
    assert len(held_out) == pytest.approx(200, abs=50)
    assert learned.equal(learned.sort().values)
    assert held_out.equal(held_out.sort().values)


def test_pairs_of_one_image_or_one_caption_stay_together():
    """Of two captions an image shares one with a neighbour."""
    captions = [caption for number in range(2_000) for caption in (f"a {number // 2}", f"b {number}")]
    numbers = [number for number in range(2_000) for _ in range(2)]
    pairs = pairs_of(captions, numbers)
    learned, held_out = split_validation(pairs, 0.1)
    assert len(held_out)
    for of_row in (captions, numbers):
        assert not {of_row[row] for row in learned} & {of_row[row] for row in held_out}


def test_further_pairs_move_none():
    captions = [f"a {number}" for number in range(2_000)]
    fewer = split_validation(pairs_of(captions[:1_500]), 0.05)[1]
    more = split_validation(pairs_of(captions), 0.05)[1]
    assert fewer.tolist() == [row for row in more.tolist() if row < 1_500]


def test_of_few_pairs_none_are_held_out():
    few = pairs_of([f"a {number}" for number in range(FEWEST_PAIRS - 1)])
    assert split_validation(few, 0.05)[1].tolist() == []
    assert split_validation(pairs_of([f"a {number}" for number in range(2_000)]), 0.0)[1].tolist() == []


def test_of_many_pairs_no_more_are_held_out_than_tell():
    held_out = split_validation(pairs_of([f"a {number}" for number in range(20_000)]), 0.05)[1]
    assert len(held_out) == MOST_HELD_OUT


def test_of_large_families_too():
    """Nine pairs to a caption: the last family that fits is not cut."""
    held_out = split_validation(pairs_of([f"a {number // 9}" for number in range(30_000)]), 0.05)[1]
    assert MOST_HELD_OUT - 9 < len(held_out) <= MOST_HELD_OUT
    assert len(held_out) % 9 == 0


@pytest.mark.parametrize("num_classes", [1, 10, 70])
def test_no_class_that_shares_its_caption_is_held_out(num_classes: int):
    captions = [f"class {number % num_classes}" for number in range(1_500)]
    assert 1_500 / num_classes > LARGEST_FAMILY
    learned, held_out = split_validation(pairs_of(captions), 0.5)
    assert len(learned) == 1_500
    assert not len(held_out)
