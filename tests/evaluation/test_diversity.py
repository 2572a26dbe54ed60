import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.caption_grammar import CENTRE, COLOURS, KINDS, QUADRANTS, parse_caption
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.diversity import (
    NUM_CONFIGURATIONS,
    distance_from_uniform,
    expected_distinct,
    measure_diversity,
    measure_variety,
)

OBJECTS = list(itertools.product(range(10), COLOURS))
NONSENSE = "The red is on the 7."


def sentence(slots: Sequence[tuple[str, tuple[int, str]]]) -> str:
    """A caption of (position, (digit, colour)), in the order given."""
    if slots[0][0] == CENTRE:
        digit, colour = slots[0][1]
        return f"This is {colour} {digit}."
    clauses = [f"the {digit} on the {position} is {colour}" for position, (digit, colour) in slots]
    if len(clauses) > 1:
        clauses[-1] = f"and {clauses[-1]}"
    return ", ".join(clauses) + "."


# Few objects and positions, so that captions repeat.
objects = st.tuples(st.integers(0, 2), st.sampled_from(["red", "blue"]))
single = objects.map(lambda each: sentence([(CENTRE, each)]))
quads = st.dictionaries(st.sampled_from(QUADRANTS[:3]), objects, min_size=1).map(
    lambda slots: sentence(list(slots.items()))
)
caption_lists = st.lists(single | quads | st.just(NONSENSE), min_size=1, max_size=20)


class TestVariety:
    @given(single | quads, st.integers(1, 20))
    def test_one_caption_again_and_again_is_one_configuration(self, caption: str, num: int):
        variety = measure_variety([caption] * num)
        assert (variety.num_captions, variety.num_parsed, variety.distinct) == (num, num, 1)

    def test_order_synonyms_and_clause_forms_do_not_make_another(self):
        captions = [
            "The green 0 is on the upper right, and the top left 8 is red.",
            "the 8 on the upper left is red, and the 0 on the top right is green.",
        ]
        assert measure_variety(captions).distinct == 1

    @pytest.mark.parametrize(
        "other", ["The 8 on the upper left is blue.", "The 7 on the upper left is red.", "This is red 8."]
    )
    def test_another_digit_colour_or_position_does(self, other: str):
        assert measure_variety(["The 8 on the upper left is red.", other]).distinct == 2

    @given(caption_lists)
    def test_the_count_is_that_of_the_set(self, captions: list[str]):
        variety = measure_variety(captions)
        parsed = [slots for slots in map(parse_caption, captions) if slots is not None]
        assert variety.distinct == len({frozenset(slots) for slots in parsed})
        assert variety.num_parsed == len(parsed) == sum(kind.num_captions for kind in variety.kinds.values())
        assert list(variety.kinds) == list(KINDS)

    @given(caption_lists, st.randoms(use_true_random=False))
    def test_the_order_of_captions_changes_nothing(self, captions: list[str], randomness: random.Random):
        assert measure_variety(randomness.sample(captions, len(captions))) == measure_variety(captions)

    @given(caption_lists, single | quads)
    def test_one_more_caption_adds_one_at_the_most(self, captions: list[str], another: str):
        more = measure_variety([*captions, another]).distinct - measure_variety(captions).distinct
        assert more == (frozenset(parse_caption(another) or ()) not in map(configuration, captions))

    def test_captions_that_do_not_parse_name_nothing(self):
        variety = measure_variety([NONSENSE] * 3)
        assert (variety.num_captions, variety.num_parsed, variety.distinct) == (3, 0, 0)
        assert variety.position_distance is variety.digit_distance is variety.colour_distance is None

    def test_words_that_come_evenly_are_uniform(self):
        variety = measure_variety([sentence([(place, each)]) for place in QUADRANTS for each in OBJECTS])
        distances = (variety.position_distance, variety.digit_distance, variety.colour_distance)
        assert distances == pytest.approx((0, 0, 0), abs=1e-12)
        assert variety.distinct == variety.kinds["Quad1"].distinct == 160

    def test_the_centre_is_no_quadrant(self):
        assert measure_variety(["This is red 8."]).position_distance is None


class TestExpectedDistinct:
    def test_the_grammar_is_counted_right(self):
        assert NUM_CONFIGURATIONS["Single"] == len({sentence([(CENTRE, each)]) for each in OBJECTS})
        for kind, num_slots in (("Quad1", 1), ("Quad2", 2)):
            configurations = {
                configuration(sentence(list(zip(places, contents, strict=True))))
                for places in itertools.combinations(QUADRANTS, num_slots)
                for contents in itertools.product(OBJECTS, repeat=num_slots)
            }
            assert NUM_CONFIGURATIONS[kind] == len(configurations)
        assert NUM_CONFIGURATIONS["Quad3"] == 4 * 40**3
        assert NUM_CONFIGURATIONS["Quad4"] == 40**4

    def test_it_is_the_sum_over_configurations(self):
        shares = {"Single": 0.5, "Quad1": 0.5}
        probabilities = [0.5 / 40] * 40 + [0.5 / 160] * 160
        assert expected_distinct(77, shares) == pytest.approx(sum(1 - (1 - p) ** 77 for p in probabilities))

    def test_it_is_the_mean_of_simulations(self):
        randomness = random.Random(0)
        sizes = NUM_CONFIGURATIONS
        counts = [
            len({(kind := randomness.choice(KINDS), randomness.randrange(sizes[kind])) for _ in range(1000)})
            for _ in range(200)
        ]
        assert expected_distinct(1000) == pytest.approx(sum(counts) / len(counts), abs=2)

    @given(st.integers(0, 10**6))
    def test_it_rises_with_every_draw_but_never_by_more_than_one(self, num: int):
        more = expected_distinct(num + 1) - expected_distinct(num)
        assert -1e-6 <= more <= 1 + 1e-6

    def test_its_ends(self):
        assert expected_distinct(0) == 0
        assert expected_distinct(1) == pytest.approx(1)
        assert expected_distinct(10**12) == pytest.approx(sum(NUM_CONFIGURATIONS.values()))


class TestDistanceFromUniform:
    @given(st.lists(st.integers(0, 3), min_size=1))
    def test_it_lies_between_uniform_and_one_value_only(self, drawn: list[int]):
        distance = distance_from_uniform(drawn, range(4))
        assert distance is not None
        assert 0 <= distance <= 0.75
        assert distance_from_uniform(drawn[::-1], range(4)) == distance

    def test_examples(self):
        assert distance_from_uniform([0, 1, 2, 3], range(4)) == 0
        assert distance_from_uniform([2, 2, 2], range(4)) == 0.75
        assert distance_from_uniform([0, 0, 1, 2], range(4)) == 0.25
        assert distance_from_uniform([], range(4)) is None


class TestDiversity:
    @given(caption_lists)
    def test_the_training_set_is_as_diverse_as_itself(self, captions: list[str]):
        score = measure_diversity(captions, captions)
        assert score.samples == score.real
        assert score.expected_distinct == expected_distinct(len(captions))

    def test_a_collapsed_model_is_found_out(self):
        training = [sentence([(place, each)]) for place in QUADRANTS for each in OBJECTS]
        score = measure_diversity(["The 3 on the upper left is red."] * 100, training)
        assert score.samples.distinct == 1
        assert score.real.distinct == score.real.num_captions == 100
        assert score.samples.digit_distance == pytest.approx(0.9)
        assert (score.real.digit_distance or 0) < 0.2

    def test_the_seed_draws_the_real_captions(self):
        training = [sentence([(place, each)]) for place in QUADRANTS for each in OBJECTS]
        first, again, other = (measure_diversity(training[:50], training, seed) for seed in (0, 0, 1))
        assert first == again
        assert first.real.digit_distance != other.real.digit_distance

    @given(caption_lists)
    def test_it_is_plain_json(self, captions: list[str]):
        tree = asdict(measure_diversity(captions, captions))
        assert json.loads(json.dumps(tree, allow_nan=False)) == tree

    def test_messages(self):
        with pytest.raises(MxqvaeError, match="no captions to compare; sample at least one pair"):
            measure_diversity([], ["This is red 8."])
        with pytest.raises(
            MxqvaeError, match=r"2 samples but only 1 training captions .*; give fewer samples"
        ):
            measure_diversity(["This is red 8."] * 2, ["This is red 8."])


def configuration(caption: str) -> frozenset | None:
    slots = parse_caption(caption)
    return None if slots is None else frozenset(slots)
