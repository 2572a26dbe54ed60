"""How much of Caption MNIST's grammar a set of captions covers.

A *configuration* is the set of slots that a caption names, whatever their order and the words around them. A
model that has dropped a part of the data names fewer different ones than as many real captions do, and some
of their words too often:

    distinct = |{configuration of a caption}|         distance = sum over values |share - 1 / number| / 2

The score knows captions alone: that an image shows what its caption names is for `consistency`, and that it
is no copy for `memorization`.
"""

import math
import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mxqvae.data.caption_grammar import COLOURS, KINDS, QUADRANTS, kind_of, parse_caption
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import EQUAL_SHARES

NUM_OBJECTS = 10 * len(COLOURS)
"""Coloured digits that a position can hold."""
NUM_CONFIGURATIONS: Mapping[str, int] = {KINDS[0]: NUM_OBJECTS} | {
    kind: math.comb(len(QUADRANTS), num_slots) * NUM_OBJECTS**num_slots
    for num_slots, kind in enumerate(KINDS[1:], start=1)
}
"""Configurations of each kind: 40, 160, 9,600, 256,000 and 2,560,000."""


@dataclass(frozen=True, kw_only=True)
class KindVariety:
    """The captions of one kind."""

    num_captions: int
    """Captions of this kind."""
    distinct: int
    """Different configurations among them."""
    expected_distinct: float
    """The same of as many uniform draws of this kind."""


@dataclass(frozen=True, kw_only=True)
class Variety:
    """A set of captions; those that do not parse name no configuration."""

    num_captions: int
    """All captions."""
    num_parsed: int
    """Captions that parse."""
    distinct: int
    """Different configurations among them."""
    kinds: dict[str, KindVariety]
    """By kind, in the order of `KINDS`."""
    position_distance: float | None
    """Total variation distance of the positions of all slots in quadrants from uniform; None without slots.

    In [0, 1]: the share of slots that would have to change. Chance keeps it above 0, for real captions too.
    """
    digit_distance: float | None
    """The same of the digits of all slots."""
    colour_distance: float | None
    """The same of the colours of all slots."""


@dataclass(frozen=True, kw_only=True)
class DiversityScore:
    """Sampled captions beside as many real ones; `dataclasses.asdict` of it is plain JSON."""

    samples: Variety
    """What the model wrote."""
    real: Variety
    """Training captions, drawn without replacement."""
    expected_distinct: float
    """Different configurations among as many uniform draws of the grammar, all kinds equally likely."""


def measure_diversity(samples: Sequence[str], training: Sequence[str], seed: int = 0) -> DiversityScore:
    """Compare sampled captions with as many training captions.

    Args:
        seed: Seed of the draw of training captions.

    Raises:
        MxqvaeError: No samples, or fewer training captions than samples.
    """
    if not samples:
        raise MxqvaeError("no captions to compare; sample at least one pair")
    if len(samples) > len(training):
        raise MxqvaeError(
            f"{len(samples)} samples but only {len(training)} training captions to compare them with; give "
            "fewer samples or a larger data set"
        )
    return DiversityScore(
        samples=measure_variety(samples),
        real=measure_variety(random.Random(seed).sample(training, len(samples))),
        expected_distinct=expected_distinct(len(samples)),
    )


def measure_variety(captions: Sequence[str]) -> Variety:
    """Count what a set of captions names."""
    parsed = [slots for slots in map(parse_caption, captions) if slots is not None]
    kinds = {}
    for kind in KINDS:
        own = [frozenset(slots) for slots in parsed if kind_of(slots) == kind]
        expected = expected_distinct(len(own), {kind: 1.0})
        kinds[kind] = KindVariety(num_captions=len(own), distinct=len(set(own)), expected_distinct=expected)
    slots = [slot for caption in parsed for slot in caption]
    quadrants = [slot.position for slot in slots if slot.position in QUADRANTS]
    return Variety(
        num_captions=len(captions),
        num_parsed=len(parsed),
        distinct=sum(kind.distinct for kind in kinds.values()),
        kinds=kinds,
        position_distance=distance_from_uniform(quadrants, QUADRANTS),
        digit_distance=distance_from_uniform([slot.digit for slot in slots], range(10)),
        colour_distance=distance_from_uniform([slot.colour for slot in slots], COLOURS),
    )


def expected_distinct(num_draws: int, shares: Mapping[str, float] = EQUAL_SHARES) -> float:
    """Expected number of different configurations among independent draws, uniform within each kind.

    A configuration of probability p is missing from all n draws with probability (1 - p)^n, so that

        E = sum over configurations of 1 - (1 - p)^n,  p = share of its kind / configurations of its kind

    Args:
        num_draws: n, at least 0.
        shares: Probability of each kind; kinds left out are not drawn.
    """
    # 1 - (1 - p)^n in a form that keeps its digits where p is tiny.
    return sum(
        -size * math.expm1(num_draws * math.log1p(-share / size))
        for share, size in ((share, NUM_CONFIGURATIONS[kind]) for kind, share in shares.items())
    )


def distance_from_uniform(drawn: Sequence[Hashable], values: Iterable[Hashable]) -> float | None:
    """Total variation distance of the shares of `values` in `drawn` from equal shares; None without draws."""
    if not drawn:
        return None
    counts = Counter(drawn)
    shares = [counts[value] / len(drawn) for value in values]
    return sum(abs(share - 1 / len(shares)) for share in shares) / 2
