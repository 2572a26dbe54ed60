"""Table 3: how well captions describe their images, told by captions of real images that look alike.

The paper's own protocol is not published; this one is our reconstruction. For each scored pair the real
images nearest to its image in a declared feature space (cosine) are found, and all captions of these are its
references:

    unigram precision     of the caption against its references, see `unigram_precision`
    sentence similarity   cosine of the caption and each reference; top-k is the mean of the k highest

A real image that equals the scored one pixel by pixel is no reference of it. So real pairs can be scored by
the same rule, among the references themselves: they are the ceiling. With their captions dealt to one another
at random they are the floor: what a caption earns that fits the data set and not the image.

The score knows words and looks alone. Where captions are all alike, ceiling and floor are near each other,
and a figure means little without them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.dealing import deal_numbers
from mxqvae.evaluation.image_features import ImageFeatures
from mxqvae.evaluation.sentence_encoder import SentenceEncoder
from mxqvae.evaluation.unigram_precision import (
    count_words,
    mean_unigram_precision,
    modified_unigram_precision,
)
from mxqvae.progress import NoProgress, Progress

TOP_KS = (1, 5, 10)
"""The poster's three columns of sentence similarity."""
NUM_NEIGHBOURS = 10
"""Real images whose captions are references; with one caption an image, enough for the highest ten."""
QUERIES_AT_A_TIME = 256


class ReferencePool(NamedTuple):
    """Real images with one caption or more."""

    images: Tensor
    """(M, H, W, 3) uint8."""
    captions: list[list[str]]
    """The captions of each of them, one or more."""
    features: Tensor
    """(M, F) of length 1."""


@dataclass(frozen=True, kw_only=True)
class SimilarityScore:
    """A set of pairs, scored; every figure is a mean over them."""

    num_pairs: int
    """Pairs scored."""
    unigram_precision: float
    """Against one reference at a time, averaged; in [0, 1]. The poster's column, as we read it."""
    unigram_precision_of_all: float
    """Against all references of a pair together; in [0, 1]."""
    top_1: float
    """Cosine of the most similar reference, in [-1, 1]."""
    top_5: float
    """Mean cosine of the five most similar references."""
    top_10: float
    """Mean cosine of the ten most similar references."""


@dataclass(frozen=True, kw_only=True)
class SimilarityComparison:
    """Samples between their bounds; `dataclasses.asdict` of it is plain JSON."""

    feature_space: str
    """Where images are near each other."""
    sentence_encoder: str
    """What the similarity of sentences is a cosine of."""
    num_reference_images: int
    """Real images that references come from."""
    num_neighbours: int
    """Of these, how many are taken for a pair."""
    references_per_pair: float
    """Captions of these, mean over the samples."""
    samples: SimilarityScore
    """The pairs that a model sampled."""
    dealt_samples: SimilarityScore
    """The same images with the model's own captions dealt at random: what it earns without looking."""
    ceiling: SimilarityScore
    """Real held-out pairs."""
    floor: SimilarityScore
    """The same images with captions dealt at random."""


def measure_similarity(
    samples: PairDataset,
    test: PairDataset,
    references: PairDataset,
    features: ImageFeatures,
    encoder: SentenceEncoder,
    *,
    num_neighbours: int = NUM_NEIGHBOURS,
    seed: int = 0,
    progress: Progress = NoProgress(),
) -> SimilarityComparison:
    """Score sampled pairs, and real held-out ones beside them.

    Args:
        samples: What a model sampled.
        test: Real pairs that it has not learnt from; each image is scored with its first caption.
        references: Real pairs that references come from; may be `test` itself.
        num_neighbours: Real images whose captions are the references of a pair.
        seed: Seed of the deals of captions.

    Raises:
        MxqvaeError: Fewer than two samples or held-out pairs, or too few references.
    """
    pool = reference_pool(references, features, progress=progress)
    real = test.whole().one_per_image()
    found = {
        name: find_references(pairs.images, pool, features, name, num_neighbours, progress=progress)
        for name, pairs in (("samples", samples), ("held-out images", real))
    }

    def score(pairs: PairDataset, name: str) -> tuple[SimilarityScore, SimilarityScore]:
        dealt = [pairs.captions[number] for number in deal_numbers(len(pairs.captions), seed)]
        return (
            score_similarity(pairs.captions, found[name], encoder),
            score_similarity(dealt, found[name], encoder),
        )

    of_samples, of_dealt = score(samples, "samples")
    ceiling, floor = score(real, "held-out images")
    return SimilarityComparison(
        feature_space=features.name,
        sentence_encoder=encoder.name,
        num_reference_images=len(pool.captions),
        num_neighbours=num_neighbours,
        references_per_pair=sum(map(len, found["samples"])) / len(found["samples"]),
        samples=of_samples,
        dealt_samples=of_dealt,
        ceiling=ceiling,
        floor=floor,
    )


def reference_pool(
    pairs: PairDataset, features: ImageFeatures, *, progress: Progress = NoProgress()
) -> ReferencePool:
    """The images of `pairs` that have captions.

    Raises:
        MxqvaeError: There are none.
    """
    whole = pairs.whole()
    captions: dict[int, list[str]] = {}
    for number, caption in zip(whole.image_numbers.tolist(), whole.captions, strict=True):
        captions.setdefault(number, []).append(caption)
    if not captions:
        raise MxqvaeError("no image has a caption to refer to; give a data set with captions")
    images = whole.images[list(captions)]
    found = features.extract(images, "features of references", progress=progress)
    return ReferencePool(images, list(captions.values()), F.normalize(found, dim=1))


def find_references(
    images: Tensor,
    pool: ReferencePool,
    features: ImageFeatures,
    description: str,
    num_neighbours: int = NUM_NEIGHBOURS,
    *,
    progress: Progress = NoProgress(),
) -> list[list[str]]:
    """The references of each image: captions of its nearest ones in the pool, nearest first.

    Args:
        images: (N, H, W, 3) uint8.
        description: What the progress calls them.
        num_neighbours: Images of the pool whose captions are taken.

    Raises:
        MxqvaeError: No images, or a pool with too few others.
    """
    if not len(images):
        raise MxqvaeError(f"no {description} to score; give at least two")
    numbers: dict[bytes, list[int]] = {}
    for number, image in enumerate(pool.images):
        numbers.setdefault(_digest(image), []).append(number)
    same = [numbers.get(_digest(image), []) for image in images]
    vectors = _features_beside(images, same, pool, features, description, progress)
    references = []
    for start, batch in zip(
        range(0, len(images), QUERIES_AT_A_TIME), vectors.split(QUERIES_AT_A_TIME), strict=True
    ):
        cosines = (batch.double() @ pool.features.double().T).round(decimals=6)  # ties are ties everywhere
        for row, itself in enumerate(same[start : start + len(batch)]):
            cosines[row, itself] = -torch.inf
            if len(pool.captions) - len(itself) < num_neighbours:
                raise MxqvaeError(
                    f"{num_neighbours} reference images are needed for each of the {description}, there are "
                    f"{len(pool.captions) - len(itself)}; give a larger data set or fewer neighbours"
                )
        for nearest in cosines.sort(dim=1, descending=True, stable=True).indices[:, :num_neighbours].tolist():
            references.append([caption for number in nearest for caption in pool.captions[number]])
    return references


def score_similarity(
    captions: Sequence[str], references: Sequence[Sequence[str]], encoder: SentenceEncoder
) -> SimilarityScore:
    """Score captions against the references of each.

    Raises:
        MxqvaeError: A caption with fewer than ten references.
    """
    fewest = min(map(len, references))
    if fewest < TOP_KS[-1]:
        raise MxqvaeError(
            f"{TOP_KS[-1]} references are needed for each pair, one has {fewest}; give more --neighbours"
        )
    texts = sorted({*captions, *(reference for each in references for reference in each)})
    vectors = encoder.encode(texts)
    words = [count_words(text) for text in texts]
    numbers = {text: number for number, text in enumerate(texts)}
    precisions, joint_precisions, tops = [], [], []
    for caption, each in zip(captions, references, strict=True):
        own, others = numbers[caption], [numbers[reference] for reference in each]
        counts = [words[number] for number in others]
        precisions.append(mean_unigram_precision(words[own], counts))
        joint_precisions.append(modified_unigram_precision(words[own], counts))
        highest = (vectors[others] @ vectors[own]).topk(TOP_KS[-1]).values.double()
        tops.append([float(highest[:k].mean()) for k in TOP_KS])
    num = len(captions)
    top_1, top_5, top_10 = (sum(column) / num for column in zip(*tops, strict=True))
    return SimilarityScore(
        num_pairs=num,
        unigram_precision=sum(precisions) / num,
        unigram_precision_of_all=sum(joint_precisions) / num,
        top_1=top_1,
        top_5=top_5,
        top_10=top_10,
    )


def _features_beside(
    images: Tensor,
    same: Sequence[Sequence[int]],
    pool: ReferencePool,
    features: ImageFeatures,
    description: str,
    progress: Progress,
) -> Tensor:
    """Features (N, F) of length 1 of `images`; those that are in the pool, at numbers `same`, have theirs."""
    vectors = pool.features[[each[0] if each else 0 for each in same]]
    new = [row for row, each in enumerate(same) if not each]
    if new:
        found = features.extract(images[new], f"features of {description}", progress=progress)
        vectors[new] = F.normalize(found, dim=1)
    return vectors


def _digest(image: Tensor) -> bytes:
    return hashlib.sha256(image.numpy().tobytes()).digest()
