import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.colour_words import colour_of, find_colour_words, replace_colour_words

SPELLINGS = ["black", "gray", "blonde", "golden", "purple", "tan"]
OTHERS = ["a", "redwood", "Blackbird", "standing", "dog", "greens", "blue-green"]


def said(caption: str) -> list[str]:
    return [caption[word.start : word.end] for word in find_colour_words(caption)]


@pytest.mark.parametrize(
    ("caption", "words", "colours"),
    [
        ("A black dog, a WHITE cat.", ["black", "WHITE"], ["black", "white"]),
        ("Grey, gray and Violet", ["Grey", "gray", "Violet"], ["grey", "grey", "purple"]),
        ("A blue-green redhead is stand­ing; titan, tanned.", ["blue", "green"], ["blue", "green"]),
        ("Nothing of the kind.", [], []),
        ("", [], []),
    ],
)
def test_whole_words_of_the_list_are_found(caption: str, words: list[str], colours: list[str]):
    assert said(caption) == words
    assert [word.colour for word in find_colour_words(caption)] == colours


def test_spellings_of_one_colour_are_one():
    assert colour_of("gray") == colour_of("grey") == "grey"
    assert colour_of("golden") == "gold"


@given(st.lists(st.sampled_from([*SPELLINGS, *OTHERS]), min_size=1, max_size=9), st.data())
def test_what_is_replaced_is_found_again_and_the_rest_stays(words: list[str], data: st.DataObject):
    caption = f"{' '.join(words)}."
    found = find_colour_words(caption)
    edits = {
        number: data.draw(st.sampled_from(["red", "teal"]))
        for number in range(len(found))
        if data.draw(st.booleans())
    }
    edited = replace_colour_words(caption, found, edits)
    expected = [edits.get(number, caption[word.start : word.end]) for number, word in enumerate(found)]
    assert said(edited) == expected
    strip = str.maketrans("", "", string.ascii_letters)
    assert edited.translate(strip) == caption.translate(strip)


def test_capitals_stay():
    caption = "Red and BLUE and green."
    edits = {0: "black", 1: "tan", 2: "pink"}
    assert replace_colour_words(caption, find_colour_words(caption), edits) == "Black and TAN and pink."
