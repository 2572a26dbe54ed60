from hypothesis import given
from hypothesis import strategies as st

from mxqvae.audit.words import find_words, replace_words
from mxqvae.data.tokenizer import CaptionTokenizer

WORDS = CaptionTokenizer.train(["Red, green and blue."])
PROSE = ["A man in red .", "two dogs, playing  with a T-shirt's ball !", "café ☕ 日本"]
SUBWORDS = CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=200)


def words_of(caption: str, tokenizer: CaptionTokenizer) -> list[str]:
    return [word.text_in(caption) for word in find_words(caption, tokenizer.locate([caption])[0])]


def test_whole_words_and_marks():
    assert words_of("Red,  blue.", WORDS) == ["Red", ",", "blue", "."]


def test_subwords_that_spell_one_word_are_one():
    assert words_of("two zebras, playing", SUBWORDS) == ["two", "zebras", ",", "playing"]


@given(st.text(st.characters(categories=["L", "N", "Zs", "P"]), max_size=20))
def test_words_hold_every_token_once_and_lie_in_order(caption: str):
    spans = SUBWORDS.locate([caption])[0]
    words = find_words(caption, spans)
    assert [token for word in words for token in word.tokens] == list(range(len(spans)))
    assert all(0 <= word.start <= word.end <= len(caption) for word in words)


def test_replaced_words_take_over_capitals_and_leave_the_rest():
    caption = "Red,  green and blue."
    words = find_words(caption, WORDS.locate([caption])[0])
    assert replace_words(caption, words, {}) == caption
    assert replace_words(caption, words, {0: "Blue", 4: "Red"}) == "Blue,  green and red."
