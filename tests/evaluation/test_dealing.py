import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.dealing import deal_numbers


@given(num=st.integers(2, 50), seed=st.integers(0, 9))
def test_captions_move_along_one_cycle_through_all_pairs(num: int, seed: int):
    dealt = deal_numbers(num, seed)
    seen, number = [], 0
    while number not in seen:
        seen.append(number)
        number = dealt[number]
    assert sorted(seen) == sorted(dealt) == list(range(num))


def test_the_seed_decides():
    assert deal_numbers(100, 1) == deal_numbers(100, 1) != deal_numbers(100, 2)


@pytest.mark.parametrize("num", [0, 1])
def test_one_pair_has_none_to_exchange_with(num: int):
    with pytest.raises(MxqvaeError, match=f"{num} pairs cannot exchange captions"):
        deal_numbers(num)
