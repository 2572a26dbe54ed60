from collections import Counter
from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.draws import Draws, draws_by_number

WORDS = st.integers(0, 2**64 - 1)


@given(WORDS, st.integers(1, 10**6))
def test_below_is_the_word_as_a_fraction_of_the_bound(word: int, bound: int):
    drawn = Draws([word]).below(bound)
    assert 0 <= drawn < bound
    assert drawn == int(word * bound // 2**64)


@given(st.lists(WORDS, min_size=6, max_size=6), st.integers(0, 6))
def test_distinct_gives_different_items(words: list[int], num: int):
    drawn = Draws(words).distinct("abcdef", num)
    assert len(drawn) == len(set(drawn)) == num


def test_every_ordered_subset_is_equally_likely():
    num = 24_000
    all_draws = draws_by_number(5, (1, 2), first=0, num=num, num_words=2)
    counts = Counter("".join(draws.distinct("abcd", 2)) for draws in all_draws)
    assert counts.keys() == {"".join(pair) for pair in permutations("abcd", 2)}
    expected = num / len(counts)
    assert max(abs(count - expected) for count in counts.values()) < 4.5 * sqrt(expected)


@given(st.integers(0, 2**70), st.integers(0, 50), st.integers(1, 50))
def test_a_number_has_the_same_draws_in_every_batch(seed: int, first: int, num: int):
    everything = draws_by_number(seed, (0,), first=0, num=first + num, num_words=3)
    part = draws_by_number(seed, (0,), first=first, num=num, num_words=3)
    assert [d.distinct(range(1000), 3) for d in part] == [
        d.distinct(range(1000), 3) for d in everything[first:]
    ]


def test_seeds_and_streams_differ():
    keys = [(0, (0,)), (0, (1,)), (1, (0,)), (0, (0, 0)), (2**32, (0,))]
    numbers = {
        draws_by_number(seed, stream, first=0, num=1, num_words=1)[0].below(2**64) for seed, stream in keys
    }
    assert len(numbers) == len(keys)


def test_the_stream_is_the_one_that_data_sets_were_built_from():
    draws = draws_by_number(0, (0, 1), first=7, num=1, num_words=2)[0]
    assert [draws.below(2**64) for _ in range(2)] == [3280829385281093803, 12773076050553358184]


def test_draws_run_out():
    draws = Draws([0])
    draws.below(3)
    with pytest.raises(StopIteration):
        draws.below(3)


def test_words_are_plain_integers():
    # With numpy integers the product in `below` would overflow.
    assert Draws([int(np.uint64(2**64 - 1))]).below(10) == 9
