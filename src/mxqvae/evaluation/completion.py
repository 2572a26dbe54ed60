"""How well a model completes pairs of Caption MNIST: from the image, from the caption, from half of both.

    caption right   =  the slots that it names are those of the pair
    image right     =  the slots that the judge reads in it are those of the caption
    diversity       =  distance of two seeds' digits in one place / that of two real digits of one class

For halves, half of each image and half of its caption's tokens are hidden. A slot is *determined* where its
cell, or its whole clause, is given; the rest is free, and has to agree with itself.

N pairs, S pixels a side of a cell.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mxqvae.data.batch import PairBatch, to_bytes, to_floats
from mxqvae.data.caption_grammar import CENTRE, Slot, parse_caption
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import ConsistencyScore, Proportion, ReadPair, SlotReader, score_pairs
from mxqvae.evaluation.dealing import deal_numbers
from mxqvae.evaluation.judge import POSITIONS, cut_cells, ink
from mxqvae.generation.completion import DEFAULT_COMPLETION, CompletionConfig
from mxqvae.generation.parallel import Complete, completing_on
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.progress import Advance, NoProgress, Progress

Way = Literal["captions", "images", "halves"]
"""What is found: captions for images, images for captions, or what is hidden where half of both is."""
WAYS: tuple[Way, ...] = ("captions", "images", "halves")
NUM_ANSWERS: dict[Way, int] = {"captions": 1, "images": 2, "halves": 1}
"""Answers to each pair; images are drawn with two seeds, for their diversity."""
HALVES = {
    "left half": (slice(None), slice(None, 32)),
    "right half": (slice(None), slice(32, None)),
    "upper half": (slice(None, 32), slice(None)),
    "lower half": (slice(32, None), slice(None)),
}
"""Rows and columns of pixels; the words name the quadrants inside."""
NUM_REAL_DISTANCES = 2000
"""Pairs of real digits of one class whose distance is taken."""


@dataclass(frozen=True, kw_only=True)
class CaptionsFound:
    """Captions written for images."""

    right: ConsistencyScore
    """Pairs by the kind of the image: all its slots named, no other."""
    parsed: Proportion
    """Share of captions in the grammar."""


@dataclass(frozen=True, kw_only=True)
class ImagesFound:
    """Images found for captions with two seeds, of which the first is scored."""

    right: ConsistencyScore
    """Pairs by the kind of the caption: all its slots seen, no other."""
    num_distances: int
    """Places where the answers of both seeds show the digit asked for."""
    distance: float | None
    """Mean distance of the two digits there: root mean square of the difference of ink in [0, 1]."""
    real_distance: float
    """The same of two real digits, classes drawn as in the data."""
    diversity: float | None
    """`distance` over `real_distance`."""


@dataclass(frozen=True, kw_only=True)
class HalvesFound:
    """Pairs of which half of the image and half of the words was hidden."""

    num_determined: int
    """Slots that the given part determines."""
    determined_right: float | None
    """Share of them that both halves of the answer have; None without any."""
    num_free: int
    """Other places that the answer's image or caption fills."""
    free_consistent: float | None
    """Share of them on which the two agree; None without any."""
    pairs: ConsistencyScore
    """The whole answers, image against caption."""


@dataclass(frozen=True, kw_only=True)
class CompletionScore:
    """What was asked for of all three; `dataclasses.asdict` of it is plain JSON."""

    num_pairs: int
    """Pairs completed in each way."""
    captions: CaptionsFound | None
    """None where not asked for, as the next two."""
    images: ImagesFound | None
    halves: HalvesFound | None
    ceiling: ConsistencyScore
    """The real pairs before the same judge, which reads the images of all three."""
    floor: ConsistencyScore
    """The same images with captions dealt at random."""


def measure_completion(
    generator: PairGenerator,
    pairs: PairDataset,
    judge: SlotReader,
    *,
    ways: Collection[Way] = WAYS,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
    num_processes: int = 1,
    progress: Progress = NoProgress(),
) -> CompletionScore:
    """Complete each pair in three ways, or in some of them.

    Args:
        pairs: Whole pairs of Caption MNIST with their slots, two at least.
        ways: At least one.
        seed: Of the answers and of the floor. What is hidden of halves is the same for every seed.
        num_processes: That share the work, see `generation.parallel`; they make no difference to the score.

    Raises:
        MxqvaeError: Fewer pairs, pairs without slots, no way, or what `completing_on` raises of processes.
    """
    num = len(pairs)
    if not ways:
        raise MxqvaeError(f"no way to complete pairs; give some of {', '.join(WAYS)}")
    if pairs.slots is None or not all(pairs.slots):
        raise MxqvaeError("pairs without slots; give a data set that `mxqvae data caption-mnist` built")
    if num < 2:
        raise MxqvaeError(f"{num} pairs to complete; give two or more")
    truth, images = pairs.slots, pairs.images[pairs.image_numbers]
    seen = judge.read(images)
    captions = found = halves = None
    with (
        completing_on(generator, num_processes) as complete_pairs,
        progress.task("complete", total=num_answers(ways) * num, unit="answers") as advance,
    ):
        asker = _Asker(complete_pairs, generator.tokenizer, seed, config, advance)
        if "captions" in ways:
            captions = _captions_found(asker, images, truth)
        if "images" in ways:
            found = _images_found(asker, images, pairs.captions, truth, judge)
        if "halves" in ways:
            halves = _halves_found(asker, images, pairs.captions, truth, judge)
    named = [parse_caption(caption) for caption in pairs.captions]
    dealt = deal_numbers(num, seed)
    return CompletionScore(
        num_pairs=num,
        captions=captions,
        images=found,
        halves=halves,
        ceiling=score_pairs([ReadPair(*pair) for pair in zip(named, seen, strict=True)]),
        floor=score_pairs([ReadPair(named[source], seen[row]) for row, source in enumerate(dealt)]),
    )


def num_answers(ways: Collection[Way]) -> int:
    """Answers that these ways ask for with each pair."""
    return sum(NUM_ANSWERS[way] for way in set(ways))


class _Asker:
    """Completes pair after pair."""

    def __init__(
        self,
        complete_pairs: Complete,
        tokenizer: CaptionTokenizer,
        seed: int,
        config: CompletionConfig,
        advance: Advance,
    ) -> None:
        self.complete_pairs, self.tokenizer = complete_pairs, tokenizer
        self.seed, self.config, self.advance = seed, config, advance

    def answers(self, batch: PairBatch, seed_offset: int = 0) -> Iterator[tuple[Tensor, str]]:
        """Image (H, W, 3) uint8 and caption of one answer to each pair."""
        seed = (self.seed + seed_offset) % 2**64
        for found in self.complete_pairs(batch, num_answers=1, seed=seed, config=self.config):
            self.advance(1)
            yield to_bytes(found.pairs.images)[0], found.captions[0]


def _captions_found(asker: _Asker, images: Tensor, truth: Sequence[tuple[Slot, ...]]) -> CaptionsFound:
    unknown = asker.tokenizer.encode([""] * len(images))
    captions = [caption for _, caption in asker.answers(PairBatch(to_floats(images), unknown))]
    named = [parse_caption(caption) for caption in captions]
    # The truth stands in the caption's place: kinds are those of the images.
    right = [ReadPair(slots, names or ()) for slots, names in zip(truth, named, strict=True)]
    parsed = score_pairs([ReadPair(names, ()) for names in named]).parsed
    return CaptionsFound(right=score_pairs(right), parsed=parsed)


def _images_found(
    asker: _Asker,
    real: Tensor,
    captions: Sequence[str],
    truth: Sequence[tuple[Slot, ...]],
    judge: SlotReader,
) -> ImagesFound:
    unknown = torch.full_like(to_floats(real), torch.nan)
    batch = PairBatch(unknown, asker.tokenizer.encode(captions))
    drawn = [torch.stack([image for image, _ in asker.answers(batch, offset)]) for offset in (0, 1)]
    first, second = (judge.read(images) for images in drawn)
    distances = []
    for row, slots in enumerate(truth):
        for slot in set(slots) & set(first[row]) & set(second[row]):
            one, other = (_digit(images[row], slot) for images in drawn)
            distances.append(_distance(one, other))
    distance = float(np.mean(distances)) if distances else None
    real_distance = _real_distance(real, truth)
    return ImagesFound(
        right=score_pairs([ReadPair(*pair) for pair in zip(truth, first, strict=True)]),
        num_distances=len(distances),
        distance=distance,
        real_distance=real_distance,
        diversity=None if distance is None else distance / real_distance,
    )


def _digit(image: Tensor, slot: Slot) -> Tensor:
    """The ink (S, S) of one of an image's digits."""
    return ink(cut_cells(image[None].float() / 255)[0, POSITIONS.index(slot.position)])


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def _real_distance(images: Tensor, truth: Sequence[tuple[Slot, ...]]) -> float:
    """Mean distance of two different real digits of one class."""
    places = [(row, slot) for row, slots in enumerate(truth) for slot in slots]
    by_class = [[place for place in places if place[1].digit == digit] for digit in range(10)]
    draws = random.Random(0)
    distances = []
    for _ in range(NUM_REAL_DISTANCES):
        others = by_class[draws.choice(places)[1].digit]
        if len(others) > 1:
            one, other = (_digit(images[row], slot) for row, slot in draws.sample(others, 2))
            distances.append(_distance(one, other))
    if not distances:
        raise MxqvaeError("no two digits of one class among the pairs; give more pairs")
    return float(np.mean(distances))


def _halves_found(
    asker: _Asker,
    real: Tensor,
    captions: Sequence[str],
    truth: Sequence[tuple[Slot, ...]],
    judge: SlotReader,
) -> HalvesFound:
    draws = random.Random(0)
    images, token_ids = to_floats(real), asker.tokenizer.encode(captions)
    determined: list[set[Slot]] = []
    for row, (caption, slots) in enumerate(zip(captions, truth, strict=True)):
        half = draws.choice(list(HALVES))
        images[row, :, *HALVES[half]] = torch.nan
        num_tokens = int((token_ids[row] > CaptionTokenizer.end_id).sum())
        hidden = sorted(draws.sample(range(num_tokens), num_tokens // 2))
        token_ids[row, hidden] = CaptionTokenizer.mask_id
        by_words = _slots_of_whole_clauses(asker.tokenizer, caption, set(hidden), slots)
        determined.append(by_words | {slot for slot in slots if _is_given(slot, half)})
    answers = list(asker.answers(PairBatch(images, token_ids)))
    seen = judge.read(torch.stack([drawn for drawn, _ in answers]))
    named = [parse_caption(answer) for _, answer in answers]
    num_right = num_free = num_agree = 0
    for names, sees, fixed in zip(named, seen, determined, strict=True):
        both = set(names or ()) & set(sees)
        num_right += len(fixed & both)
        free = {slot.position for slot in {*(names or ()), *sees}} - {slot.position for slot in fixed}
        num_free += len(free)
        num_agree += sum(slot.position in free for slot in both)
    num_determined = sum(map(len, determined))
    return HalvesFound(
        num_determined=num_determined,
        determined_right=num_right / num_determined if num_determined else None,
        num_free=num_free,
        free_consistent=num_agree / num_free if num_free else None,
        pairs=score_pairs([ReadPair(*pair) for pair in zip(named, seen, strict=True)]),
    )


def _is_given(slot: Slot, hidden_half: str) -> bool:
    """Whether the slot's cell lies outside the hidden half; a digit in the centre never does."""
    return slot.position != CENTRE and hidden_half.split()[0] not in slot.position.split()


def _slots_of_whole_clauses(
    tokenizer: CaptionTokenizer, caption: str, hidden: set[int], slots: Sequence[Slot]
) -> set[Slot]:
    """The slots, in the order of their caption, none of whose clause's words is hidden."""
    (spans,) = tokenizer.locate([caption])
    clause, whole = 0, [True] * len(slots)
    for token, (start, end) in enumerate(spans):
        if caption[start:end] == ",":
            clause += 1
        elif token in hidden:
            whole[clause] = False
    return {slot for slot, is_whole in zip(slots, whole, strict=True) if is_whole}
