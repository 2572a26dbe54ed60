"""Whether hidden words come back: of each right caption of a Degree set those of one slot are hidden.

A slot is digit and colour in Caption MNIST, a colour in photos. It is found again where all its words stand
in the answer as they were. Three answer: the prior and stage 1 together, see `generation.completion`; stage
1, reading the pair once; and stage 1 without the image, which tells what the other words give away. Beside
them stands how often the commonest answer is right.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.device import to_device
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import Proportion, proportion
from mxqvae.evaluation.slot_words import (
    FindSlots,
    check_slots,
    colours_alone,
    compare,
    digits_and_colours,
)
from mxqvae.generation.completion import DEFAULT_COMPLETION, CompletionConfig, check_completion
from mxqvae.generation.parallel import completing_on
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.progress import NoProgress, Progress

PAIRS_READ = 20
"""Pairs that stage 1 reads at a time."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class HiddenWordsFound:
    """The pairs of one kind; the shares are of its pairs, with one hidden slot each."""

    num_pairs: int
    """Pairs whose slot was hidden."""
    completed: Proportion
    """Found again by prior and stage 1."""
    read: Proportion
    """Found again by stage 1 in one reading."""
    read_without_image: Proportion
    """The same where the image is hidden as well."""
    commonest: float
    """Share that always answering the commonest of the hidden words would get right."""


class _Hidden(NamedTuple):
    """A caption and its hidden slot."""

    row: int  # of the Degree set
    caption: str
    slot: int  # from 0
    words: tuple[str, ...]  # lower-cased
    tokens: list[int]  # their places among the caption's


def measure_hidden_words(
    generator: PairGenerator,
    folder: Path,
    *,
    num: int,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
    num_processes: int = 1,
    progress: Progress = NoProgress(),
) -> dict[str, HiddenWordsFound]:
    """Hide one slot of each right caption and look whether it comes back, kind by kind.

    Args:
        folder: Folder of `build_degree_sets` or `build_colour_degree_sets`.
        num: Pairs of each kind, the first ones; all of a kind with fewer. Left out are captions that are too
            long for the model and are cut before the slot.
        seed: Of the answers. Which slot is hidden is the same for every seed.
        num_processes: That share the work, see `generation.parallel`; they make no difference.

    Raises:
        MxqvaeError: Weights that cannot complete pairs; sets that are missing, damaged or do not fit them; or
            what `completing_on` raises of processes.
    """
    autoencoder, tokenizer = check_completion(generator), generator.tokenizer
    asked = {}
    for kind in kinds_in(folder):
        pairs = read_degree_set(folder, kind, degrees_of(kind)[0])
        find_slots = colours_alone if pairs.slots is None else digits_and_colours
        if hidden := _hide_slots(tokenizer, pairs.captions[:num], find_slots):
            images = pairs.images[pairs.image_numbers[[one.row for one in hidden]]]
            asked[kind] = (hidden, find_slots, images)
        else:
            progress.say(f"{kind}: left out, the model cuts its captions before the words to hide")
    if not asked:
        raise MxqvaeError(
            f"{folder}: the model cuts all captions before a digit or colour; give weights that read longer "
            "ones"
        )
    found = {}
    num_pairs = sum(len(hidden) for hidden, _, _ in asked.values())
    with (
        completing_on(generator, num_processes) as complete_pairs,
        progress.task("complete", total=num_pairs, unit="answers") as advance,
    ):
        for kind, (hidden, find_slots, images) in asked.items():
            batch = _batch(tokenizer, images, hidden)
            completed = []
            for answers in complete_pairs(batch, num_answers=1, seed=seed, config=config):
                completed.append(answers.captions[0])
                advance(1)
            without = PairBatch(torch.full_like(batch.images, torch.nan), batch.token_ids)
            found[kind] = HiddenWordsFound(
                num_pairs=len(hidden),
                completed=_share_found(hidden, completed, find_slots),
                read=_share_found(hidden, _read(generator, autoencoder, batch), find_slots),
                read_without_image=_share_found(hidden, _read(generator, autoencoder, without), find_slots),
                commonest=max(Counter(one.words for one in hidden).values()) / len(hidden),
            )
    return found


def _hide_slots(tokenizer: CaptionTokenizer, captions: Sequence[str], find_slots: FindSlots) -> list[_Hidden]:
    """Choose a slot of each caption; captions are left out that are cut before it."""
    check_slots([compare(caption, caption, find_slots) for caption in captions])
    draws = random.Random(0)
    hidden = []
    for row, (caption, located) in enumerate(zip(captions, tokenizer.locate(captions), strict=True)):
        slots = find_slots(caption)
        slot = draws.randrange(len(slots))
        words = [word for start in slots[slot] if (word := _WORD.match(caption, start))]
        tokens = [
            token
            for token, (start, end) in enumerate(located)
            if any(start < word.end() and word.start() < end for word in words)
        ]
        if located and all(word.end() <= located[-1][1] for word in words):
            hidden.append(_Hidden(row, caption, slot, tuple(word[0].lower() for word in words), tokens))
    return hidden


def _batch(tokenizer: CaptionTokenizer, images: Tensor, hidden: Sequence[_Hidden]) -> PairBatch:
    token_ids = tokenizer.encode([one.caption for one in hidden])
    for row, one in enumerate(hidden):
        token_ids[row, one.tokens] = CaptionTokenizer.mask_id
    return PairBatch(to_floats(images), token_ids)


def _read(generator: PairGenerator, autoencoder: MXQVAE, batch: PairBatch) -> list[str]:
    """Captions that come back from the codes of pairs, what is given of them in its place."""
    captions = []
    for rows in torch.arange(len(batch.token_ids)).split(PAIRS_READ):
        some = to_device(PairBatch(*(part[rows] for part in batch)), generator.device)
        back = autoencoder.decode(autoencoder.encode(some)).token_ids
        is_hidden = some.token_ids == CaptionTokenizer.mask_id
        captions += generator.tokenizer.decode(torch.where(is_hidden, back, some.token_ids).cpu())
    return captions


def _share_found(hidden: Sequence[_Hidden], answers: Sequence[str], find_slots: FindSlots) -> Proportion:
    right = [
        all(compare(one.caption, answer, find_slots).slots[one.slot])
        for one, answer in zip(hidden, answers, strict=True)
    ]
    return proportion(sum(right), len(right))
