"""Table 1: whom stage 1 believes where the caption lies about its image.

The paper's own protocol is not published; this one is our reconstruction. Stage 1 encodes an image with an
edited caption of the Degree sets (`data.degree`), nothing masked, and decodes a caption again:

    score = slot words of the edited caption that come back at the same place / all of them

The slots of Caption MNIST have two words each, digit and colour; those of photos (`data.colour_degree`) one,
a colour. Per *word* each counts by itself, per *slot* only where all come back. A model that reads the image
brings back the d slots of n that are true of it, so the ideal is d / n; one that copies the caption brings
back all of them at every degree.

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
from mxqvae.data.degree import DegreeManifest, degrees_of, kinds_in, read_degree_set
from mxqvae.data.manifest_file import read_manifest
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.slot_words import FindSlots, check_slots, colours_alone, compare, digits_and_colours
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
POSTER_ROWS_OF_PHOTOS: dict[str, dict[str, tuple[float, ...]]] = {
    "Oxford Flower-102 and Reed et al.'s captions": {
        "Only Sharing C": (0.939, 0.704, 0.516, 0.321, 0.131),
        "MXQ-VAE w/o TC": (1.0, 0.944, 0.886, 0.866, 0.810),
        "MXQ-VAE w/o IM": (0.997, 0.728, 0.482, 0.278, 0.067),
        "MXQ-VAE": (0.996, 0.737, 0.490, 0.250, 0.014),
    },
    "CUB-200-2011 and Reed et al.'s captions": {
        "Only Sharing C": (0.985, 0.771, 0.572, 0.356, 0.155),
        "MXQ-VAE w/o TC": (1.0, 0.948, 0.894, 0.825, 0.748),
        "MXQ-VAE w/o IM": (0.998, 0.833, 0.645, 0.424, 0.181),
        "MXQ-VAE": (0.995, 0.749, 0.515, 0.292, 0.083),
    },
}
"""The same for the photo sets, by the layout that their builder writes into the manifest."""
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
    """Slot words of the edited caption that come back at their place."""
    slots: MeanShare
    """Slots of the edited caption of which all words come back."""
    image_slots: MeanShare
    """Slots whose words come back as the true caption has them, whatever the edited one says."""
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
    """By kind, in the order of `DEGREE_KINDS`; those that the Degree sets have."""


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
        folder: Folder of `build_degree_sets` or `build_colour_degree_sets`.
        num: Pairs of each kind, the first ones; by default all.

    Raises:
        MxqvaeError: The folder or a split is missing or damaged, or has words that the tokenizer lacks.
    """
    progress = progress or NoProgress()
    kinds = {}
    folder_kinds = kinds_in(folder)
    num_sets = sum(len(degrees_of(kind)) for kind in folder_kinds)
    with progress.task("score", total=num_sets, unit="Degree sets") as advance:
        for kind in folder_kinds:
            degrees: list[DegreeScore] = []
            true_captions: list[str] = []
            for degree in degrees_of(kind):
                pairs = read_degree_set(folder, kind, degree)
                captions = pairs.captions[:num]
                true_captions = true_captions or captions
                score = score_degree(
                    autoencoder,
                    tokenizer,
                    pairs.images[:num],
                    captions,
                    true_captions,
                    degree,
                    colours_alone if pairs.slots is None else digits_and_colours,
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
    find_slots: FindSlots = digits_and_colours,
) -> DegreeScore:
    """Score pairs of one kind and degree.

    Args:
        images: (B, H, W, 3) uint8.
        captions: B captions as edited, each with the same number of slots.
        true_captions: The same before the edit.
        degree: Slots of each that are true of the image.
        find_slots: Where a caption has its slots.

    Raises:
        MxqvaeError: Captions that differ in number or in their numbers of slots, or with unknown words.
    """
    if not 0 < len(images) == len(captions) == len(true_captions):
        raise MxqvaeError(
            f"{len(images)} images, {len(captions)} edited and {len(true_captions)} true captions; give as "
            "many of each, at least one"
        )
    said = tokenizer.encode(captions)
    returned = torch.cat(
        [
            reconstruct(autoencoder, PairBatch(to_floats(some_images), some_ids)).token_ids
            for some_images, some_ids in zip(images.split(BATCH_SIZE), said.split(BATCH_SIZE), strict=True)
        ]
    )
    back = tokenizer.decode(returned)
    compared = [compare(caption, other, find_slots) for caption, other in zip(captions, back, strict=True)]
    shown = [compare(caption, other, find_slots) for caption, other in zip(true_captions, back, strict=True)]
    check_slots(compared)
    num_slots, num_words = len(compared[0].slots), sum(map(len, compared[0].slots))
    others = [is_same for one in compared for is_same in one.others]
    return DegreeScore(
        degree=degree,
        num_pairs=len(captions),
        ideal=degree / num_slots,
        words=_mean_share([sum(map(sum, one.slots)) for one in compared], num_words),
        slots=_mean_share([sum(map(all, one.slots)) for one in compared], num_slots),
        image_slots=_mean_share([sum(map(all, one.slots)) for one in shown], num_slots),
        other_words=sum(others) / max(1, len(others)),
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


def poster_rows_of(folder: Path) -> dict[str, tuple[float, ...]]:
    """The poster's rows for the data set that Degree sets were made of; empty for any that it lacks."""
    manifest = read_manifest(folder) or {}
    if manifest.get("name") == DegreeManifest.name:
        return POSTER_ROWS
    source = manifest.get("source")
    layout = source.get("layout") if isinstance(source, dict) else None
    return POSTER_ROWS_OF_PHOTOS.get(str(layout), {})


def _mean_share(counts: Sequence[int], most: int) -> MeanShare:
    """The mean of `counts` / `most`, from whole numbers: the order of pairs can't touch the last digit."""
    num, total, squares = len(counts), sum(counts), sum(count**2 for count in counts)
    if num == 1:
        return MeanShare(mean=total / most, standard_error=None)
    variance = (num * squares - total**2) / (num * (num - 1))
    return MeanShare(mean=total / (num * most), standard_error=math.sqrt(variance / num) / most)
