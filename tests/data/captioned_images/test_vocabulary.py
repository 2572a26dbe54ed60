import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.captioned_images.vocabulary import choose_max_length, choose_vocab_size, train_tokenizer
from mxqvae.errors import MxqvaeError


def test_the_vocabulary_grows_with_the_frequent_words():
    assert choose_vocab_size(["A dog."] * 5) == 320  # 260, two words, rounded up to a multiple of 64
    assert choose_vocab_size(["A dog."] * 4) == 320
    captions = [f"word{number % 300}" for number in range(1500)]
    assert choose_vocab_size(captions) == 576
    assert choose_vocab_size(f"word{number % 9000}" for number in range(45_000)) == 8192


@given(st.lists(st.integers(1, 100), min_size=1), st.sampled_from([0.9, 0.995, 1.0]))
def test_the_length_holds_what_it_should(num_tokens: list[int], uncut_share: float):
    length = choose_max_length(num_tokens, uncut_share)
    assert length % 8 == 0
    assert sum(num <= length for num in num_tokens) >= uncut_share * len(num_tokens) - 1e-6
    # And the next smaller one does not.
    assert length == 8 or sum(num <= length - 8 for num in num_tokens) < uncut_share * len(num_tokens)


def test_the_default_length_cuts_one_in_two_hundred():
    assert choose_max_length([10] * 199 + [100]) == 16
    assert choose_max_length([10] * 198 + [100]) == 104
    assert choose_max_length([10] * 199 + [100], uncut_share=1.0) == 104


def test_training():
    captions = [
        f"a {colour} dog on the {place}" for colour in ("red", "blue") for place in ("left", "right")
    ] * 5
    tokenizer = train_tokenizer(captions, vocab_size=None, max_length=None)
    assert (tokenizer.vocab_size, tokenizer.max_length) == (tokenizer.vocab_size, 8)
    assert tokenizer.vocab_size <= 320
    assert tokenizer.decode(tokenizer.encode(captions[:2])) == [c[0].upper() + c[1:] for c in captions[:2]]
    given_sizes = train_tokenizer(captions, vocab_size=270, max_length=5)
    assert (given_sizes.vocab_size, given_sizes.max_length) == (270, 5)
    with pytest.raises(MxqvaeError, match="no captions to take a vocabulary from"):
        train_tokenizer([], vocab_size=None, max_length=None)
