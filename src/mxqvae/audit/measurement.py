"""How well an audit tells wrong pairs from right ones, on Degree sets.

Right pairs are those of a kind with n slots at degree n, wrong ones the same images at degree n - 1: one slot
of the caption is not what the image shows, digit and colour in Caption MNIST, a colour in photos.

    ROC AUC = probability that a wrong pair has the higher score than a right one, equal scores counted half

Beside it stand scores that do not need an audit: the bits of the caption alone (its pseudo-likelihood, see
`PairAuditor.caption_bits`), which no image can contradict, and the cosine of an image-caption embedding, the
field's usual filter.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from mxqvae.audit.auditor import AuditedPair, PairAuditor
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.slot_words import FindSlots, colours_alone, compare, digits_and_colours
from mxqvae.progress import NoProgress, Progress

CHUNK_SIZE = 500
"""Pairs audited between two notes of progress."""


class PairEmbedding(Protocol):
    """What the baseline asks for; `evaluation.contrastive.JointEmbedding` is one."""

    def score(self, images: Tensor, captions: list[str]) -> Tensor:
        """How well each pair belongs together, (B,), of images (B, H, W, 3) uint8."""
        ...


@dataclass(frozen=True, kw_only=True)
class KindAudit:
    """The pairs of one kind."""

    num_pairs: int
    """Right pairs, and as many with exactly one wrong slot."""
    roc_auc: float
    """Of the audit's score, in [0, 1]."""
    caption_alone_roc_auc: float | None
    """Of the pseudo-likelihood of the caption without its image; None of weights that saw no word hidden."""
    contrastive_roc_auc: float | None
    """Of the cosine of a contrastive model; None without one."""
    word_named: float
    """Share of the wrong pairs whose worst word is one of the wrong slot's."""
    slot_corrected: float
    """Share of the wrong pairs whose proposed caption says what the image shows in the wrong slot."""
    caption_corrected: float
    """Share of the wrong pairs whose proposed caption is the true one, word for word."""
    right_kept: float
    """Share of the right pairs for which no other caption is proposed."""


@dataclass(frozen=True, kw_only=True)
class AuditScore:
    """An auditor, scored. `dataclasses.asdict` of it is plain JSON."""

    kinds: dict[str, KindAudit]
    """By kind, in the order of `DEGREE_KINDS`; those that the Degree sets have."""
    pairs_per_second: float
    """Pairs audited in a second, on this machine as busy as it was; their images decoded before."""


def measure_audit(
    auditor: PairAuditor,
    folder: Path,
    *,
    contrastive: PairEmbedding | None = None,
    num: int | None = None,
    progress: Progress = NoProgress(),
) -> AuditScore:
    """Score an auditor on the Degree sets of every kind.

    Args:
        folder: Folder of `build_degree_sets` or `build_colour_degree_sets`.
        contrastive: Embedding of the baseline.
        num: Pairs of each kind, the first ones; by default all.

    Raises:
        MxqvaeError: The folder or a split is missing or damaged, or has words that the tokenizer lacks.
    """
    kinds, num_audited, seconds = {}, 0, 0.0
    found = kinds_in(folder)
    with progress.task("audit", total=2 * len(found), unit="Degree sets") as advance:
        for kind in found:
            most, one_less, *_ = degrees_of(kind)
            right, wrong = (_first(read_degree_set(folder, kind, degree), num) for degree in (most, one_less))
            start = time.monotonic()
            audited_right = _audit(auditor, right)
            advance()
            audited_wrong = _audit(auditor, wrong)
            advance()
            seconds += time.monotonic() - start
            num_audited += len(right) + len(wrong)
            kinds[kind] = score_kind(auditor, right, wrong, audited_right, audited_wrong, contrastive)
    return AuditScore(kinds=kinds, pairs_per_second=num_audited / seconds)


def score_kind(
    auditor: PairAuditor,
    right: PairDataset,
    wrong: PairDataset,
    audited_right: Sequence[AuditedPair],
    audited_wrong: Sequence[AuditedPair],
    contrastive: PairEmbedding | None,
) -> KindAudit:
    """Score what an audit said of right pairs and of wrong ones of the same images, in the same order.

    Raises:
        MxqvaeError: The two differ in number or in wording.
    """
    if len(right) != len(wrong):
        raise MxqvaeError(f"{len(right)} right and {len(wrong)} wrong pairs; build the Degree sets again")
    find_slots = colours_alone if wrong.slots is None else digits_and_colours
    wrong_words = list(map(_wrong_words, wrong.captions, right.captions, repeat(find_slots)))
    named = [
        pair.worst_word is not None and pair.words[pair.worst_word].start in words
        for words, pair in zip(wrong_words, audited_wrong, strict=True)
    ]
    proposed = [pair.proposed_caption for pair in audited_wrong]
    alone = cosines = None
    if auditor.can_hide_words:
        alone = [auditor.caption_bits(pairs.captions).numpy() for pairs in (right, wrong)]
    if contrastive is not None:
        cosines = [contrastive.score(pairs.images, pairs.captions).numpy() for pairs in (right, wrong)]
    return KindAudit(
        num_pairs=len(right),
        roc_auc=roc_auc(
            *(np.array([pair.score for pair in some]) for some in (audited_right, audited_wrong))
        ),
        caption_alone_roc_auc=None if alone is None else roc_auc(*alone),
        contrastive_roc_auc=None if cosines is None else roc_auc(*(-some for some in cosines)),
        word_named=sum(named) / len(wrong),
        slot_corrected=_share(map(_corrects, proposed, wrong.captions, right.captions, repeat(find_slots))),
        caption_corrected=_share(new == old for new, old in zip(proposed, right.captions, strict=True)),
        right_kept=_share(
            pair.proposed_caption == caption
            for pair, caption in zip(audited_right, right.captions, strict=True)
        ),
    )


def roc_auc(negative: np.ndarray, positive: np.ndarray) -> float:
    """The probability that a positive has the higher score than a negative, equal ones counted half.

    Args:
        negative: Scores (N,) of right pairs, N at least 1.
        positive: Scores (M,) of wrong pairs, M at least 1.
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    not_above = np.searchsorted(ordered, positive, "right")
    return float((below + not_above).sum()) / (2 * len(negative) * len(positive))


def _audit(auditor: PairAuditor, pairs: PairDataset) -> list[AuditedPair]:
    return [
        pair
        for first in range(0, len(pairs), CHUNK_SIZE)
        for pair in auditor.audit(
            pairs.images[first : first + CHUNK_SIZE], pairs.captions[first : first + CHUNK_SIZE]
        )
    ]


def _first(pairs: PairDataset, num: int | None) -> PairDataset:
    return PairDataset(pairs.images[:num], pairs.captions[:num], pairs.slots and pairs.slots[:num])


def _wrong_words(wrong: str, right: str, find_slots: FindSlots) -> set[int]:
    """Where in `wrong` the slot words begin that `right` has otherwise."""
    same = compare(wrong, right, find_slots).slots
    return {
        start
        for starts, are_same in zip(find_slots(wrong), same, strict=True)
        for start, is_same in zip(starts, are_same, strict=True)
        if not is_same
    }


def _corrects(proposed: str, wrong: str, right: str, find_slots: FindSlots) -> bool:
    """Whether `proposed` says the slots of `right` that `wrong` does not."""
    said, proposes = (compare(right, caption, find_slots).slots for caption in (wrong, proposed))
    return all(all(new) for new, old in zip(proposes, said, strict=True) if not all(old))


def _share(some: Iterable[bool]) -> float:
    values = list(some)
    return sum(values) / len(values)
