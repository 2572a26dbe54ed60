import pytest

from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.slot_words import check_slots, colours_alone, compare, digits_and_colours

MNIST = "The red 3 is on the top left, and the top right 7 is blue."
PHOTO = "A Red bus and a blue-green car."


def test_a_slot_of_caption_mnist_is_a_digit_and_its_colour():
    words = [[MNIST[start:].split()[0].strip(".,") for start in slot] for slot in digits_and_colours(MNIST)]
    assert words == [["3", "red"], ["7", "blue"]]


def test_a_slot_of_a_photo_is_a_colour():
    assert [PHOTO[start : start + 3] for (start,) in colours_alone(PHOTO)] == ["Red", "blu", "gre"]


@pytest.mark.parametrize(
    ("returned", "slots", "num_others"),
    [
        (PHOTO, [[True], [True], [True]], 7),
        ("a red bus and a BLUE - green car .", [[True], [True], [True]], 7),
        ("A red bus and a blue-red cat.", [[True], [True], [False]], 6),
        ("A big red bus and a blue-green car.", [[False], [False], [False]], 1),
        ("A red bus.", [[True], [False], [False]], 2),
        ("", [[False], [False], [False]], 0),
    ],
)
def test_words_come_back_at_their_own_place(returned: str, slots: list[list[bool]], num_others: int):
    compared = compare(PHOTO, returned, colours_alone)
    assert compared.slots == slots
    assert (sum(compared.others), len(compared.others)) == (num_others, 7)


@pytest.mark.parametrize(
    "caption", ["A flower ( yellow ) , with red petals .", 'A "white" , red and pink flower ... .']
)
def test_marks_may_come_back_without_the_space_between_them(caption: str):
    tokenizer = CaptionTokenizer.train_subwords([caption], vocab_size=300, max_length=40)
    (returned,) = tokenizer.decode(tokenizer.encode([caption]))
    assert returned != caption
    compared = compare(caption, returned, colours_alone)
    assert all(all(slot) for slot in compared.slots)
    assert all(compared.others)


def test_both_words_of_a_slot_are_told():
    compared = compare(MNIST, MNIST.replace("red", "green").replace("7", "1"), digits_and_colours)
    assert compared.slots == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("captions", "message"),
    [(["A red bus.", PHOTO], "1 to 3 slots; build the set again"), (["A bus."], "0 to 0 slots")],
)
def test_captions_of_different_kinds_are_refused(captions: list[str], message: str):
    with pytest.raises(MxqvaeError, match=message):
        check_slots([compare(caption, caption, colours_alone) for caption in captions])
