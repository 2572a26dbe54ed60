import torch

from mxqvae.data.caption_grammar import Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.held_out import one_pair_per_image

IMAGES = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 2, 2, 3)


def test_each_image_stands_once_with_its_first_caption():
    numbers = torch.tensor([2, 0, 2, 1, 0])
    pairs = one_pair_per_image(
        PairDataset(IMAGES, ["c", "a", "c again", "b", "a again"], image_numbers=numbers)
    )
    assert pairs.captions == ["c", "a", "b"]
    assert pairs.image_numbers.tolist() == [0, 1, 2]
    assert pairs.images[:, 0, 0, 0].tolist() == [2, 0, 1]


def test_captions_without_an_image_are_left_out_and_images_without_a_caption_stay():
    numbers = torch.tensor([-1, 3, -1, 1])
    pairs = one_pair_per_image(PairDataset(IMAGES, ["x", "", "y", "b"], image_numbers=numbers))
    assert pairs.captions == ["", "b"]
    assert pairs.images[:, 0, 0, 0].tolist() == [3, 1]


def test_pairs_of_one_caption_each_stay_as_they_are():
    pairs = one_pair_per_image(PairDataset(IMAGES, list("abcd")))
    assert pairs.captions == list("abcd")
    assert pairs.images.equal(IMAGES)


def test_slots_stay_with_their_images():
    slots = [(Slot("centre", digit, "red"),) for digit in range(3)]
    numbers = torch.tensor([2, 2, 0])
    pairs = one_pair_per_image(PairDataset(IMAGES, list("abc"), slots, image_numbers=numbers))
    assert pairs.slots == [slots[0], slots[2]]
