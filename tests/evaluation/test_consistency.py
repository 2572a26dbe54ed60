import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mxqvae.data.caption_grammar import (
    CENTRE,
    COLOURS,
    KINDS,
    QUADRANTS,
    Clause,
    ClauseForm,
    Slot,
    compose_caption,
    kind_of,
)
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import (
    ReadPair,
    deal_captions,
    is_consistent,
    measure_bounds,
    rate_slots,
    read_pairs,
    score_consistency,
    score_pairs,
)

digits, colours = st.integers(0, 9), st.sampled_from(list(COLOURS))
single = st.builds(Slot, st.just(CENTRE), digits, colours).map(lambda slot: (slot,))
quads = st.lists(
    st.builds(Slot, st.sampled_from(QUADRANTS), digits, colours),
    min_size=1,
    max_size=4,
    unique_by=lambda s: s.position,
).map(tuple)
slot_sets = single | quads
read_pair_lists = st.lists(
    st.builds(ReadPair, st.none() | slot_sets, st.just(()) | slot_sets), min_size=1, max_size=12
)


class Oracle:
    """A judge that knows the slots of its images, which are only numbers."""

    def __init__(self, slots: Sequence[tuple[Slot, ...]]) -> None:
        self.slots = slots

    def read(self, images: torch.Tensor) -> list[tuple[Slot, ...]]:
        return [self.slots[number] for number in images.tolist()]


def caption_of(slots: Sequence[Slot]) -> str:
    form = ClauseForm.SINGLE if slots[0].position == CENTRE else ClauseForm.COLOUR_LAST
    return compose_caption([Clause(slot, form, slot.position) for slot in slots])


def replace(slot: Slot, word: str) -> Slot:
    if word == "digit":
        return slot._replace(digit=(slot.digit + 1) % 10)
    names = list(COLOURS)
    return slot._replace(colour=names[(names.index(slot.colour) + 1) % len(names)])


def five_kinds() -> list[tuple[Slot, ...]]:
    quad4 = tuple(Slot(position, i, "red") for i, position in enumerate(QUADRANTS))
    return [(Slot(CENTRE, 7, "white"),), *(quad4[:n] for n in range(1, 5))]


@given(st.lists(slot_sets, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_pairs_that_say_what_they_show_are_consistent_in_any_order_of_clauses(
    seen: list[tuple[Slot, ...]], randomness: random.Random
):
    captions = [caption_of(randomness.sample(slots, len(slots))) for slots in seen]
    score = score_consistency(torch.arange(len(seen)), captions, Oracle(seen))
    assert score.consistent.rate == score.parsed.rate == score.slots.slot == 1
    assert all(kind.consistent is None or kind.consistent.rate == 1 for kind in score.kinds.values())


@given(st.lists(slot_sets, min_size=2, max_size=8), st.data())
def test_one_wrong_word_makes_exactly_its_pair_inconsistent(
    seen: list[tuple[Slot, ...]], data: st.DataObject
):
    wrong = data.draw(st.integers(0, len(seen) - 1))
    which = data.draw(st.integers(0, len(seen[wrong]) - 1))
    named = list(seen[wrong])
    named[which] = replace(named[which], data.draw(st.sampled_from(["digit", "colour"])))
    captions = [caption_of(named if i == wrong else slots) for i, slots in enumerate(seen)]
    pairs = read_pairs(torch.arange(len(seen)), captions, Oracle(seen))
    assert [i for i, pair in enumerate(pairs) if not is_consistent(pair)] == [wrong]
    assert score_pairs(pairs).consistent.rate == pytest.approx(1 - 1 / len(seen))


@given(quads, st.data())
def test_a_slot_missing_on_either_side_is_inconsistent(slots: tuple[Slot, ...], data: st.DataObject):
    assume(len(slots) > 1)
    dropped = data.draw(st.integers(0, len(slots) - 1))
    fewer = slots[:dropped] + slots[dropped + 1 :]
    for pair in (ReadPair(named=fewer, seen=slots), ReadPair(named=slots, seen=fewer)):
        assert not is_consistent(pair)
        assert rate_slots([pair]).slot == pytest.approx(len(fewer) / len(slots))


@given(read_pair_lists, st.randoms(use_true_random=False))
def test_the_order_of_pairs_changes_nothing(pairs: list[ReadPair], randomness: random.Random):
    assert score_pairs(randomness.sample(pairs, len(pairs))) == score_pairs(pairs)


@given(read_pair_lists)
def test_the_headline_is_the_mean_of_the_kinds_weighted_by_their_pairs(pairs: list[ReadPair]):
    score = score_pairs(pairs)
    rated = [(kind.num_pairs, kind.consistent.rate) for kind in score.kinds.values() if kind.consistent]
    if rated:
        mean = sum(num * rate for num, rate in rated) / sum(num for num, _ in rated)
        assert score.consistent.rate == pytest.approx(mean)
    assert sum(kind.share for kind in score.kinds.values()) == pytest.approx(score.parsed.rate)
    assert sum(kind.num_pairs for kind in score.kinds.values()) <= score.num_pairs


@given(read_pair_lists)
def test_every_share_is_a_share_and_lies_in_its_interval(pairs: list[ReadPair]):
    score = score_pairs(pairs)
    rated = [kind.consistent for kind in score.kinds.values() if kind.consistent]
    for share in (score.consistent, score.parsed, *rated):
        assert 0 <= share.low <= share.rate + 1e-12
        assert share.rate - 1e-12 <= share.high <= 1
    assert score.slots.slot <= min(score.slots.digit, score.slots.colour)
    assert max(score.slots.digit, score.slots.colour) <= score.slots.position <= 1
    assert json.loads(json.dumps(asdict(score))) == asdict(score)


def test_unparsable_captions_count_as_inconsistent_and_are_charged_to_every_kind():
    right = [ReadPair(named=slots, seen=slots) for slots in five_kinds()]
    score = score_pairs([*right, *(ReadPair(named=None, seen=right[0].seen) for _ in range(5))])
    assert score.consistent.rate == score.parsed.rate == 0.5
    assert [kind.consistent.rate for kind in score.kinds.values() if kind.consistent] == [0.5] * 5
    assert score.average == 0.5


def test_the_average_weighs_the_kinds_alike():
    right = [ReadPair(named=slots, seen=slots) for slots in five_kinds()]
    wrong_single = ReadPair(named=right[0].named, seen=())
    score = score_pairs([*right, *[wrong_single] * 3])
    assert score.average == pytest.approx((0.25 + 4) / 5)
    assert score.average_standard_error == pytest.approx(math.sqrt(0.25 * 0.75 / 4) / 5)
    assert score.consistent.rate == 5 / 8


def test_the_average_is_undefined_where_a_kind_is_missing():
    score = score_pairs([ReadPair(named=slots, seen=slots) for slots in five_kinds()[:4]])
    assert score.average is None
    assert score.average_standard_error is None
    assert score.kinds["Quad4"].consistent is None


def test_the_histogram_is_held_against_the_training_shares():
    slots = five_kinds()
    score = score_pairs(
        [ReadPair(named=slots[0], seen=slots[0])] * 3 + [ReadPair(named=slots[4], seen=slots[4])]
    )
    assert {name: kind.share for name, kind in score.kinds.items()} == dict(
        zip(KINDS, (0.75, 0, 0, 0, 0.25), strict=True)
    )
    assert score.largest_share_gap == pytest.approx(0.55)


def test_the_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    slots = five_kinds()[0]
    right, wrong = ReadPair(named=slots, seen=slots), ReadPair(named=slots, seen=())
    some, none = score_pairs([right] * 81 + [wrong] * 182).consistent, score_pairs([wrong] * 20).consistent
    assert (round(some.low, 4), round(some.high, 4)) == (0.2553, 0.3662)
    assert (round(none.low, 4), round(none.high, 4)) == (0.0, 0.1611)


def test_slots_are_the_positions_of_either_side():
    named = (Slot("upper left", 1, "red"), Slot("upper right", 2, "blue"), Slot("lower left", 3, "white"))
    seen = (Slot("upper left", 1, "blue"), Slot("upper right", 2, "blue"), Slot("lower right", 3, "white"))
    rates = rate_slots([ReadPair(named, seen), ReadPair(None, ())])
    assert rates.num_slots == 5
    assert (rates.position, rates.digit, rates.colour, rates.slot) == (2 / 5, 2 / 5, 1 / 5, 1 / 5)


def test_single_and_quad_never_agree():
    assert not is_consistent(ReadPair((Slot(CENTRE, 1, "red"),), (Slot("upper left", 1, "red"),)))


@given(st.integers(2, 30), st.integers(0, 5))
def test_dealt_captions_are_the_same_captions_and_none_stays(num: int, seed: int):
    pairs = [ReadPair((Slot(CENTRE, i, "red"),), (Slot(CENTRE, i, "red"),)) for i in range(num)]
    dealt = deal_captions(pairs, seed)
    assert [pair.seen for pair in dealt] == [pair.seen for pair in pairs]
    assert sorted(pair.named for pair in dealt if pair.named) == sorted(
        pair.named for pair in pairs if pair.named
    )
    assert not any(map(is_consistent, dealt))
    assert dealt == deal_captions(pairs, seed)


def test_bounds_of_real_pairs():
    randomness = random.Random(0)
    slots = [
        tuple(slot._replace(digit=randomness.randrange(10)) for slot in five_kinds()[i % 5])
        for i in range(1000)
    ]
    bounds = measure_bounds(torch.arange(1000), [caption_of(s) for s in slots], Oracle(slots))
    assert bounds.ceiling.consistent.rate == bounds.ceiling.average == 1
    assert bounds.floor.consistent.rate < 0.05
    assert {kind_of(s) for s in slots} == set(KINDS)


def test_messages():
    with pytest.raises(MxqvaeError, match="no pairs to score; sample"):
        score_pairs([])
    with pytest.raises(MxqvaeError, match="2 images but 1 captions; give one"):
        score_consistency(torch.arange(2), ["This is white 7."], Oracle(five_kinds()))
    with pytest.raises(MxqvaeError, match="1 pairs cannot exchange captions; give two"):
        measure_bounds(torch.arange(1), ["This is white 7."], Oracle(five_kinds()))
