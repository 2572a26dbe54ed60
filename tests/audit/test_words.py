import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.audit.words import WORDS_APART, find_words, in_turns, replace_words, whole_words, word_sums
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


def test_each_word_is_hidden_whole_in_one_turn_far_from_the_others():
    captions = [" ".join(["zebras playing with dogs"] * 4), "red", ""]
    words = [find_words(caption, SUBWORDS.locate([caption])[0]) for caption in captions]
    rows, hidden = in_turns(words, 200)
    assert rows.tolist() == [0] * WORDS_APART + [1]
    for row, some in enumerate(words):
        times = hidden[rows == row].sum(0)
        num_tokens = sum(len(word.tokens) for word in some)
        assert times.tolist() == [1] * num_tokens + [0] * (200 - num_tokens)
    for turn in hidden[:WORDS_APART]:
        found = [n for n, word in enumerate(words[0]) if bool(turn[list(word.tokens)].any())]
        assert all(bool(turn[list(words[0][n].tokens)].all()) for n in found)
        assert all(later - earlier == WORDS_APART for earlier, later in itertools.pairwise(found))


def test_words_of_several_tokens_count_as_one():
    caption = "red zebras"
    words = [find_words(caption, SUBWORDS.locate([caption])[0])]
    long = list(words[0][1].tokens)
    assert len(long) > 1
    values = torch.arange(200.0)[None]
    sums = word_sums(values, words)[0]
    assert sums[long].tolist() == [sum(long)] * len(long)
    assert sums[: long[0]].equal(values[0, : long[0]])
    one = torch.zeros(1, 200, dtype=torch.bool)
    one[0, long[-1]] = True
    assert whole_words(one, words)[0].nonzero()[:, 0].tolist() == long
