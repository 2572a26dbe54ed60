"""Whether sampled images are copies of training images.

For each image the nearest training image is found, by the root mean square of the differences of all pixel
values, which lie in [0, 1]. Copies are nearer to the training set than images that are new to it, and so the
same distances of as many real test images are the measure:

    share nearer than the test images' 5% quantile:  .05 expected of new images, 1 of copies

Distance knows pixels alone, and blur brings any image nearer to all others: what stage 1 decodes is nearer to
the training images than what it encoded, with nothing remembered. So there is a second reference, the test
images that stage 1 has encoded and decoded, which are as blurred as samples are.

An image with one digit is nearer to others than one with four, and the nearest 5% of all test images have one
or two. Where pairs have kinds, each sample is therefore held against the test images of its own kind, too:
copies among the crowded kinds show, and kinds that are sampled more often than they should be do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mxqvae.data.caption_grammar import kind_of, parse_caption
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.nearest_images import Neighbours, nearest_training_images
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.progress import NoProgress, Progress

if TYPE_CHECKING:
    from PIL import Image

CODES_AT_A_TIME = 256
NUM_PICTURED = 24


class Kinds(NamedTuple):
    """Kinds of pairs that differ in how near their images are to others."""

    samples: Sequence[str | None]
    """Of each sample; None where its caption tells none."""
    test: Sequence[str | None]
    """Of each test image; None where its pair has no slots."""


class FoundNeighbours(NamedTuple):
    """Neighbours of both sides of the comparison."""

    samples: Neighbours
    """Of sampled images."""
    test: Neighbours
    """Of test images."""
    num_training: int
    """Training images searched."""
    reconstructed: Neighbours | None = None
    """Of the test images that stage 1 has encoded and decoded."""


class ReconstructedPairs(NamedTuple):
    """N pairs that stage 1 has encoded and decoded."""

    images: Tensor
    """(N, H, W, 3) uint8."""
    captions: list[str]
    """N raw captions."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Quantiles of the distances of a set of images to their nearest training images."""

    minimum: float
    """The nearest."""
    p05: float
    """5% are nearer."""
    p25: float
    """25% are nearer."""
    median: float
    """Half are nearer."""
    p75: float
    """75% are nearer."""
    p95: float
    """95% are nearer."""
    num_copies: int
    """Images that are a training image, pixel by pixel."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Images that samples are held against."""

    distances: Distances
    """Of these images."""
    nearer_than_p05: float
    """Share of samples nearer to a training image than their 5% quantile; .05 for new images."""
    nearer_than_median: float
    """Share of samples nearer than their median; .5 for new images."""
    nearer_than_p05_of_kind: float | None = None
    """Share of samples nearer than the 5% quantile of those of the sample's own kind; None without kinds."""
    nearer_than_median_of_kind: float | None = None
    """Share of samples nearer than the median of those of the sample's own kind; None without kinds."""


@dataclass(frozen=True, kw_only=True)
class MemorizationScore:
    """Sampled images beside real test images; `dataclasses.asdict` of it is plain JSON."""

    num_training: int
    """Training images searched."""
    num_samples: int
    """Sampled images."""
    num_test: int
    """Test images."""
    samples: Distances
    """Of the sampled images."""
    test: Distances
    """Of the test images."""
    nearer_than_p05: float
    """Share of samples nearer to a training image than the test images' 5% quantile; .05 for new images."""
    nearer_than_median: float
    """Share of samples nearer than the test images' median; .5 for new images."""
    nearer_than_p05_of_kind: float | None = None
    """Share of samples nearer than the 5% quantile of test images of their own kind; None without kinds."""
    nearer_than_median_of_kind: float | None = None
    """Share of samples nearer than the median of test images of their own kind; None without kinds."""
    reconstructed: Reference | None = None
    """The same against the test images that stage 1 has encoded and decoded; None where not given."""


def measure_memorization(
    samples: Tensor,
    training: Tensor,
    test: Tensor,
    reconstructed: Tensor | None = None,
    *,
    kinds: Kinds | None = None,
    progress: Progress = NoProgress(),
) -> MemorizationScore:
    """Hold samples against as many test images: `find_neighbours`, then `score_neighbours`."""
    return score_neighbours(find_neighbours(samples, training, test, reconstructed, progress=progress), kinds)


def kinds_of(captions: Sequence[str], test: PairDataset) -> Kinds | None:
    """The kinds of samples, which their captions tell, and of test pairs; None where these have no slots."""
    if test.slots is None:
        return None
    read = [parse_caption(caption) for caption in captions]
    return Kinds(
        [None if slots is None else kind_of(slots) for slots in read],
        [kind_of(slots) if slots else None for slots in test.slots],
    )


def find_neighbours(
    samples: Tensor,
    training: Tensor,
    test: Tensor,
    reconstructed: Tensor | None = None,
    *,
    mirrored: bool = False,
    progress: Progress = NoProgress(),
) -> FoundNeighbours:
    """Find the nearest training images of samples and of as many test images, the first ones.

    Args:
        samples: (N, H, W, 3) uint8.
        training: (M, H, W, 3) uint8.
        test: (N or more, H, W, 3) uint8; all are taken where they are fewer.
        reconstructed: What stage 1 makes of the test images, see `reconstruct_pairs`.
        mirrored: Whether training showed mirrored images too: then they are searched as well.

    Raises:
        MxqvaeError: As `nearest_training_images`.
    """

    def search(images: Tensor, name: str) -> Neighbours:
        images = images[: len(samples)]
        # A mirrored image is as far from an image as the image is from the mirrored one.
        views = torch.cat([images, images.flip(2)]) if mirrored else images
        found = nearest_training_images(views, training, f"nearest to {name}", progress=progress)
        return _nearer_views(found) if mirrored else found

    return FoundNeighbours(
        samples=search(samples, "samples"),
        test=search(test, "test images"),
        num_training=len(training),
        reconstructed=None if reconstructed is None else search(reconstructed, "reconstructed test images"),
    )


def reconstruct_pairs(generator: PairGenerator, indices: Tensor) -> ReconstructedPairs:
    """The pairs of codes (N, T), which stage 1 has made of pairs."""
    batches = [generator.decode(batch) for batch in indices.split(CODES_AT_A_TIME)]
    images = torch.cat([torch.from_numpy(batch.images) for batch in batches])
    return ReconstructedPairs(images, [caption for batch in batches for caption in batch.captions])


def score_neighbours(found: FoundNeighbours, kinds: Kinds | None = None) -> MemorizationScore:
    """The figures of neighbours that have been found; see `kinds_of`."""
    samples = found.samples.distances
    test = _compare(samples, found.test.distances, kinds)
    return MemorizationScore(
        num_training=found.num_training,
        num_samples=len(samples),
        num_test=len(found.test.distances),
        samples=_summarise(samples),
        test=test.distances,
        nearer_than_p05=test.nearer_than_p05,
        nearer_than_median=test.nearer_than_median,
        nearer_than_p05_of_kind=test.nearer_than_p05_of_kind,
        nearer_than_median_of_kind=test.nearer_than_median_of_kind,
        reconstructed=None
        if found.reconstructed is None
        else _compare(samples, found.reconstructed.distances, kinds),
    )


def neighbour_sheet(
    images: Tensor,
    captions: Sequence[str],
    training: Tensor,
    training_captions: Sequence[str],
    neighbours: Neighbours,
) -> "Image.Image":
    """Draw the images nearest to the training set, worst first, each with its training pair to the right.

    Args:
        images: (N, H, W, 3) uint8, those that `neighbours` belongs to.
        captions: N captions.
        training: (M, H, W, 3) uint8.
        training_captions: M captions.
    """
    pictures, texts = [], []
    for sample in neighbours.distances.argsort(stable=True)[:NUM_PICTURED].tolist():
        nearest, distance = int(neighbours.indices[sample]), float(neighbours.distances[sample])
        is_mirrored = neighbours.mirrored is not None and bool(neighbours.mirrored[sample])
        pictures += [images[sample], training[nearest].flip(1) if is_mirrored else training[nearest]]
        pair = f"Training pair {nearest}{', mirrored' * is_mirrored}"
        texts.append(f"Sample {sample}: {captions[sample]}")
        texts.append(f"{pair}, distance {distance:.3f}: {training_captions[nearest]}")
    return contact_sheet(torch.stack(pictures).numpy(), texts)


def _nearer_views(found: Neighbours) -> Neighbours:
    """The neighbours of N images from those of N images and, after them, the mirrored ones."""
    (upright, mirrored), indices = found.distances.view(2, -1), found.indices.view(2, -1)
    is_mirrored = mirrored < upright
    return Neighbours(
        indices[1].where(is_mirrored, indices[0]), mirrored.where(is_mirrored, upright), is_mirrored
    )


def _compare(samples: Tensor, reference: Tensor, kinds: Kinds | None) -> Reference:
    distances = _summarise(reference)

    def share_nearer(thresholds: Tensor | float) -> float:
        return float((samples < thresholds).double().mean())

    def share_of_kind(level: float) -> float | None:
        return None if kinds is None else share_nearer(_thresholds(samples, reference, kinds, level))

    return Reference(
        distances=distances,
        nearer_than_p05=share_nearer(distances.p05),
        nearer_than_median=share_nearer(distances.median),
        nearer_than_p05_of_kind=share_of_kind(0.05),
        nearer_than_median_of_kind=share_of_kind(0.5),
    )


def _thresholds(samples: Tensor, reference: Tensor, kinds: Kinds, level: float) -> Tensor:
    """For each sample the quantile of the reference's images of its kind, of all where there are none."""
    thresholds = torch.full_like(samples, float(reference.quantile(level)))
    of_reference = kinds.test[: len(reference)]
    for kind in set(of_reference) - {None}:
        same = torch.tensor([other == kind for other in of_reference])
        thresholds[torch.tensor([own == kind for own in kinds.samples])] = reference[same].quantile(level)
    return thresholds


def _summarise(distances: Tensor) -> Distances:
    levels = torch.tensor([0.0, 0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    minimum, p05, p25, median, p75, p95 = distances.quantile(levels).tolist()
    num_copies = int((distances == 0).sum())
    return Distances(
        minimum=minimum, p05=p05, p25=p25, median=median, p75=p75, p95=p95, num_copies=num_copies
    )
