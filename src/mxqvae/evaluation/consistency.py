"""Table 2: how many pairs of Caption MNIST agree with themselves.

The paper's own protocol is not published; this one is our reconstruction. The judge reads the slots that an
image shows, the grammar reads those that its caption names, and a pair is consistent when both are the same:

    consistent(pair) = caption parses  and  set(named) == set(seen)

Bounds for the figure come from real test pairs: as they are (the ceiling, what the judge's errors allow) and
with their captions dealt to other images (the floor, what chance gives).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mxqvae.data.caption_grammar import KINDS, Slot, kind_of, parse_caption
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.dealing import deal_numbers

if TYPE_CHECKING:
    from torch import Tensor

EQUAL_SHARES: Mapping[str, float] = dict.fromkeys(KINDS, 1 / len(KINDS))
"""The kinds' shares in the default training set."""
CONFIDENCE_Z = 1.959964
"""Standard normal quantile of a two-sided 95% interval."""


class SlotReader(Protocol):
    """What the score asks of a judge; `evaluation.judge.Judge` is one."""

    def read(self, images: "Tensor", /) -> list[tuple[Slot, ...]]:
        """The slots that each of the images, (N, 64, 64, 3) uint8, shows."""
        ...


class ReadPair(NamedTuple):
    """A pair, reduced to its two sets of slots."""

    named: tuple[Slot, ...] | None
    """Slots of the caption; None where it does not parse."""
    seen: tuple[Slot, ...]
    """Slots of the image; empty where it shows no digit."""


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A share of independent trials with its 95% Wilson score interval (Wilson 1927)."""

    rate: float
    """In [0, 1]."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True, kw_only=True)
class SlotRates:
    """Shares of all slots, where a slot is a position that the caption names, the image shows, or both.

    A pair with neither (empty image, unparsable caption) still counts as one slot, a wrong one.
    """

    num_slots: int
    """Slots of all pairs."""
    position: float
    """Share that both sides have."""
    digit: float
    """Share that both sides have, with the same digit."""
    colour: float
    """Share that both sides have, in the same colour."""
    slot: float
    """Share that both sides have, with the same digit in the same colour."""


@dataclass(frozen=True, kw_only=True)
class KindScore:
    """The pairs whose captions name slots of one kind."""

    num_pairs: int
    """Pairs whose caption is of this kind."""
    share: float
    """The same as a share of all pairs, those without a kind included."""
    training_share: float
    """This kind's share of the training set."""
    consistent: Proportion | None
    """Share of consistent pairs, unparsable captions charged (see `ConsistencyScore`); None without pairs."""
    slots: SlotRates | None
    """The kind's pairs slot by slot, with no charge; None without pairs."""


@dataclass(frozen=True, kw_only=True)
class ConsistencyScore:
    """A set of pairs, scored.

    A caption that does not parse names no slots: its pair is inconsistent and of no kind. So that no mean
    over kinds forgets it, each kind is charged the same share of such pairs as the whole set has:

        kind's rate = consistent pairs / pairs of the kind * captions that parse / all captions

    The headline is then the mean of the kinds' rates weighted by their pairs, and `average` the plain mean.
    `dataclasses.asdict` of a score is plain JSON.
    """

    num_pairs: int
    """Pairs scored."""
    consistent: Proportion
    """Headline: share of pairs that are consistent."""
    average: float | None
    """Plain mean of the five kinds' rates, as in the poster's table; None where a kind has no pairs."""
    average_standard_error: float | None
    """Standard error of `average`, kinds taken as independent binomial samples."""
    slots: SlotRates
    """The same pairs, slot by slot."""
    parsed: Proportion
    """Share of captions that parse."""
    kinds: dict[str, KindScore]
    """By kind, in the order of `KINDS`."""
    largest_share_gap: float
    """Largest distance of a kind's share from its share of the training set."""


class Bounds(NamedTuple):
    """What the figures of a model lie between."""

    ceiling: ConsistencyScore
    """Real test pairs: short of 1 by the judge's own errors."""
    floor: ConsistencyScore
    """The same images with captions dealt at random."""


def score_consistency(images: "Tensor", captions: Sequence[str], judge: SlotReader) -> ConsistencyScore:
    """Score pairs of images and captions.

    Args:
        images: (N, 64, 64, 3) uint8.
        captions: N captions.

    Raises:
        MxqvaeError: No pairs, images and captions that differ in number, or images that the judge refuses.
    """
    return score_pairs(read_pairs(images, captions, judge))


def measure_bounds(images: "Tensor", captions: Sequence[str], judge: SlotReader, seed: int = 0) -> Bounds:
    """Ceiling and floor from real test pairs; arguments and errors as in `score_consistency`.

    Args:
        seed: Seed of the floor's deal.
    """
    pairs = read_pairs(images, captions, judge)
    return Bounds(ceiling=score_pairs(pairs), floor=score_pairs(deal_captions(pairs, seed)))


def read_pairs(images: "Tensor", captions: Sequence[str], judge: SlotReader) -> list[ReadPair]:
    """Read images, (N, 64, 64, 3) uint8, by the judge and captions by the grammar, each without the other.

    Raises:
        MxqvaeError: Images and captions differ in number, or the judge refuses the images.
    """
    if len(images) != len(captions):
        raise MxqvaeError(
            f"{len(images)} images but {len(captions)} captions; give one caption for each image"
        )
    named = map(parse_caption, captions)
    return [ReadPair(*pair) for pair in zip(named, judge.read(images), strict=True)]


def deal_captions(pairs: Sequence[ReadPair], seed: int = 0) -> list[ReadPair]:
    """Give every image the caption of another pair, drawn from all kinds; real test pairs give the floor.

    None comes back to its own image. Kinds mix: a model earns the floor if it matches the two marginal
    distributions and nothing between them.

    Raises:
        MxqvaeError: Fewer than two pairs.
    """
    sources = deal_numbers(len(pairs), seed)
    return [pair._replace(named=pairs[source].named) for pair, source in zip(pairs, sources, strict=True)]


def score_pairs(pairs: Sequence[ReadPair]) -> ConsistencyScore:
    """Score pairs that have been read.

    Raises:
        MxqvaeError: There are none.
    """
    if not pairs:
        raise MxqvaeError("no pairs to score; sample or give at least one")
    num_parsed = sum(pair.named is not None for pair in pairs)
    kinds = {}
    for kind in KINDS:
        own_pairs = [pair for pair in pairs if _kind_of(pair) == kind]
        kinds[kind] = _score_kind(own_pairs, len(pairs), num_parsed, EQUAL_SHARES[kind])
    average, standard_error = _average(kinds)
    return ConsistencyScore(
        num_pairs=len(pairs),
        consistent=proportion(sum(map(is_consistent, pairs)), len(pairs)),
        average=average,
        average_standard_error=standard_error,
        slots=rate_slots(pairs),
        parsed=proportion(num_parsed, len(pairs)),
        kinds=kinds,
        largest_share_gap=max(abs(kind.share - kind.training_share) for kind in kinds.values()),
    )


def is_consistent(pair: ReadPair) -> bool:
    """Whether caption and image have the same slots, none missing on either side."""
    return pair.named is not None and set(pair.named) == set(pair.seen)


def rate_slots(pairs: Sequence[ReadPair]) -> SlotRates:
    """The shares of slots on which caption and image agree, see `SlotRates`."""
    num_slots = 0
    agree: Counter[str] = Counter()
    for pair in pairs:
        named = {slot.position: slot for slot in pair.named or ()}
        seen = {slot.position: slot for slot in pair.seen}
        num_slots += max(1, len(named.keys() | seen.keys()))
        for position in named.keys() & seen.keys():
            same_digit = named[position].digit == seen[position].digit
            same_colour = named[position].colour == seen[position].colour
            agree.update(position=1, digit=same_digit, colour=same_colour, slot=same_digit and same_colour)
    return SlotRates(
        num_slots=num_slots,
        position=agree["position"] / num_slots,
        digit=agree["digit"] / num_slots,
        colour=agree["colour"] / num_slots,
        slot=agree["slot"] / num_slots,
    )


def _kind_of(pair: ReadPair) -> str | None:
    return None if pair.named is None else kind_of(pair.named)


def _score_kind(
    pairs: Sequence[ReadPair], num_all_pairs: int, num_parsed: int, training_share: float
) -> KindScore:
    if not pairs:
        return KindScore(num_pairs=0, share=0.0, training_share=training_share, consistent=None, slots=None)
    # The charge for unparsable captions: this kind's part of them, as further trials that failed.
    num_trials = len(pairs) * num_all_pairs / num_parsed
    return KindScore(
        num_pairs=len(pairs),
        share=len(pairs) / num_all_pairs,
        training_share=training_share,
        consistent=proportion(sum(map(is_consistent, pairs)), num_trials),
        slots=rate_slots(pairs),
    )


def _average(kinds: Mapping[str, KindScore]) -> tuple[float | None, float | None]:
    """Plain mean of the kinds' rates and its standard error, sqrt(sum of p (1 - p) / n) / number of kinds."""
    rates = [kind.consistent.rate for kind in kinds.values() if kind.consistent]
    if len(rates) < len(kinds):
        return None, None
    variance = sum(
        rate * (1 - rate) / kind.num_pairs for rate, kind in zip(rates, kinds.values(), strict=True)
    )
    return sum(rates) / len(rates), math.sqrt(variance) / len(rates)


def proportion(num_right: float, num_trials: float) -> Proportion:
    """The share of right ones among trials, and its Wilson score interval."""
    z_squared = CONFIDENCE_Z**2
    rate = num_right / num_trials
    centre = (num_right + z_squared / 2) / (num_trials + z_squared)
    spread = (
        math.sqrt(num_trials * rate * (1 - rate) + z_squared / 4) * CONFIDENCE_Z / (num_trials + z_squared)
    )
    return Proportion(rate=rate, low=max(0.0, centre - spread), high=min(1.0, centre + spread))
