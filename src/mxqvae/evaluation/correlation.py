"""Table 1: whom stage 1 believes where the caption lies about its image.

The paper's own protocol is not published; this one is our reconstruction. Stage 1 encodes an image with an
edited caption of the Degree sets (`data.degree`), nothing masked, and decodes a caption again:

    score = digit and colour words of the edited caption that come back at the same place / all of them

Per *word* each digit and each colour counts by itself, per *slot* only where both come back. A model that
reads the image brings back the d slots of n that are true of it, so the ideal is d / n; one that copies the
caption brings back all of them at every degree.

B pairs, L tokens, n slots in each caption.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor

from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.caption_grammar import COLOURS
from mxqvae.data.degree import DEGREE_KINDS, degrees_of, read_degree_set
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.progress import NoProgress, Progress

POSTER_KIND = "Quad4"
"""The only kind in the poster's table."""
POSTER_ROWS: dict[str, tuple[float, ...]] = {
    "Only Sharing C": (0.486, 0.443, 0.394, 0.358, 0.315),
    "MXQ-VAE w/o TC": (1.0, 0.975, 0.951, 0.929, 0.906),
    "MXQ-VAE w/o IM": (0.896, 0.802, 0.698, 0.595, 0.498),
    "MXQ-VAE": (0.969, 0.729, 0.489, 0.248, 0.009),
}
"""Row → score at degree 4, 3, 2, 1, 0 (poster of BMVC 2022, Table 1). Per word or per slot is not said."""
BATCH_SIZE = 100


class PairAutoencoder(Protocol):
    """What the score asks of stage 1, in eval mode; `autoencoder.mxqvae.MXQVAE` is one."""

    def encode(self, batch: PairBatch, /) -> Tensor:
        """Indices (B, T) of whole pairs, nothing masked."""
        ...

    def decode(self, indices: Tensor, /) -> PairBatch:
        """Pairs of `indices` (B, T)."""
        ...


@dataclass(frozen=True, kw_only=True)
class MeanShare:
    """The mean over pairs of a share in [0, 1]."""

    mean: float
    """In [0, 1]."""
    standard_error: float | None
    """Of the mean, pairs taken as independent; the words of one pair are not. None for a single pair."""


@dataclass(frozen=True, kw_only=True)
class DegreeScore:
    """The pairs of one kind at one degree."""

    degree: int
    """Slots of each caption that are true of the image."""
    num_pairs: int
    """Pairs scored."""
    ideal: float
    """Share of slots that are true of the image."""
    words: MeanShare
    """Digit and colour words of the edited caption that come back at their place."""
    slots: MeanShare
    """Slots of the edited caption whose digit and colour both come back."""
    image_slots: MeanShare
    """Slots whose digit and colour come back as the image shows them, whatever the edited caption says."""
    other_words: float
    """Share of the captions' other words and marks that come back: is there a caption at all?"""


@dataclass(frozen=True, kw_only=True)
class KindCorrelation:
    """One kind at all its degrees."""

    degrees: list[DegreeScore]
    """From the unedited captions down to degree 0."""
    word_distance: float
    """Mean over the degrees of |score - ideal|, per word."""
    slot_distance: float
    """The same per slot."""


@dataclass(frozen=True, kw_only=True)
class CorrelationScore:
    """A model, scored. `dataclasses.asdict` of it is plain JSON."""

    kinds: dict[str, KindCorrelation]
    """By kind, in the order of `DEGREE_KINDS`."""


def score_correlation(
    autoencoder: PairAutoencoder,
    tokenizer: CaptionTokenizer,
    folder: Path,
    *,
    num: int | None = None,
    progress: Progress | None = None,
) -> CorrelationScore:
    """Score stage 1 on the Degree sets of every kind.

    Args:
        tokenizer: The autoencoder's.
        folder: Folder of `build_degree_sets`.
        num: Pairs of each kind, the first ones; by default all.

    Raises:
        MxqvaeError: The folder or a split is missing or damaged, or has words that the tokenizer lacks.
    """
    progress = progress or NoProgress()
    kinds = {}
    num_sets = sum(len(degrees_of(kind)) for kind in DEGREE_KINDS)
    with progress.task("score", total=num_sets, unit="Degree sets") as advance:
        for kind in DEGREE_KINDS:
            degrees: list[DegreeScore] = []
            true_captions: list[str] = []
            for degree in degrees_of(kind):
                pairs = read_degree_set(folder, kind, degree)
                captions = pairs.captions[:num]
                true_captions = true_captions or captions
                score = score_degree(
                    autoencoder, tokenizer, pairs.images[:num], captions, true_captions, degree
                )
                degrees.append(score)
                advance(note=f"{kind} degree {degree}: {score.words.mean:.3f}")
            kinds[kind] = summarise_degrees(degrees)
    return CorrelationScore(kinds=kinds)


def score_degree(
    autoencoder: PairAutoencoder,
    tokenizer: CaptionTokenizer,
    images: Tensor,
    captions: Sequence[str],
    true_captions: Sequence[str],
    degree: int,
) -> DegreeScore:
    """Score pairs of one kind and degree.

    Args:
        images: (B, H, W, 3) uint8.
        captions: B captions as edited, each with the same number of slots.
        true_captions: The same before the edit.
        degree: Slots of each that are true of the image.

    Raises:
        MxqvaeError: Captions that differ in number or in their numbers of slots, or with unknown words.
    """
    if not 0 < len(images) == len(captions) == len(true_captions):
        raise MxqvaeError(
            f"{len(images)} images, {len(captions)} edited and {len(true_captions)} true captions; give as "
            "many of each, at least one"
        )
    said, true = tokenizer.encode(captions), tokenizer.encode(true_captions)
    returned = torch.cat(
        [
            reconstruct(autoencoder, PairBatch(to_floats(some_images), some_ids)).token_ids
            for some_images, some_ids in zip(images.split(BATCH_SIZE), said.split(BATCH_SIZE), strict=True)
        ]
    )
    digits, colours = (_find(words, said) for words in _slot_words(tokenizer))
    if digits.shape != colours.shape:
        raise MxqvaeError("captions of a Degree set must have a colour for each digit; build the set again")
    repeated = returned == said
    digits_back, colours_back = repeated.gather(1, digits), repeated.gather(1, colours)
    shown = returned == true
    num_slots = digits.shape[1]
    others = (said >= len(SPECIAL_TOKENS)).scatter(1, torch.cat([digits, colours], 1), False)
    return DegreeScore(
        degree=degree,
        num_pairs=len(captions),
        ideal=degree / num_slots,
        words=_mean_share(digits_back.sum(1) + colours_back.sum(1), 2 * num_slots),
        slots=_mean_share((digits_back & colours_back).sum(1), num_slots),
        image_slots=_mean_share((shown.gather(1, digits) & shown.gather(1, colours)).sum(1), num_slots),
        other_words=int((repeated & others).sum()) / max(1, int(others.sum())),
    )


def reconstruct(autoencoder: PairAutoencoder, batch: PairBatch) -> PairBatch:
    """Encode and decode pairs, nothing masked.

    Raises:
        ValueError: The autoencoder is in training mode, where it masks, drops and changes its codebook.
    """
    if getattr(autoencoder, "training", False):
        raise ValueError("stage 1 is in training mode; call its eval() first")
    with torch.no_grad():
        return autoencoder.decode(autoencoder.encode(batch))


def summarise_degrees(degrees: Sequence[DegreeScore]) -> KindCorrelation:
    """Put the degrees of one kind together."""
    ideal = [score.ideal for score in degrees]
    return KindCorrelation(
        degrees=list(degrees),
        word_distance=mean_distance([score.words.mean for score in degrees], ideal),
        slot_distance=mean_distance([score.slots.mean for score in degrees], ideal),
    )


def mean_distance(shares: Sequence[float], ideal: Sequence[float]) -> float:
    """The mean over the degrees of |share - ideal|."""
    return fmean(abs(one - other) for one, other in zip(shares, ideal, strict=True))


def _slot_words(tokenizer: CaptionTokenizer) -> tuple[Tensor, Tensor]:
    """The token ids of all digits and of all colours."""
    return tokenizer.encode([str(digit) for digit in range(10)])[:, 0], tokenizer.encode(list(COLOURS))[:, 0]


def _find(words: Tensor, token_ids: Tensor) -> Tensor:
    """Where `words` stand in captions (B, L), in order: places (B, n).

    A clause has one digit and one colour, so that the n-th of either belongs to the n-th slot.
    """
    found = torch.isin(token_ids, words)
    counts = found.sum(1).unique()
    if len(counts) != 1 or counts[0] == 0:
        raise MxqvaeError(
            f"captions of one Degree set have {counts.min()} to {counts.max()} slots; build the set again"
        )
    return found.nonzero()[:, 1].reshape(len(token_ids), -1)


def _mean_share(counts: Tensor, most: int) -> MeanShare:
    """The mean of `counts` / `most`, from whole numbers: the order of pairs can't touch the last digit."""
    num, total, squares = len(counts), int(counts.sum()), int((counts**2).sum())
    if num == 1:
        return MeanShare(mean=total / most, standard_error=None)
    variance = (num * squares - total**2) / (num * (num - 1))
    return MeanShare(mean=total / (num * most), standard_error=math.sqrt(variance / num) / most)
