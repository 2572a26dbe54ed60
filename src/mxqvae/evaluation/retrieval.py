"""How many captions find their own image, by a joint embedding that has learnt from real pairs.

    recall@k = share of captions whose image is among the k nearest of N candidates, the images of N pairs

Candidates with the very same caption count as its own image: nobody could tell them apart. Real held-out
pairs among as many candidates are the ceiling; captions dealt at random are the floor, at most k / N but for
equal captions: the image that a caption was taken from is often a candidate too, and stands before its own.
A model that draws few captions, and those often, finds its images easily: the samples with their own captions
dealt at random show how much of a score that is.

The embedding errs, more so on what it has not seen. So a share alone says little; the share of samples over
that of real pairs says how much of what the embedding can see of a pair's agreement is in samples.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.dealing import deal_numbers
from mxqvae.progress import NoProgress, Progress

NUM_CANDIDATES = 100


class Embedding(Protocol):
    """What the score asks of a joint embedding; `contrastive.JointEmbedding` is one."""

    @property
    def name(self) -> str:
        """The embedding in words, for the results."""
        ...

    def embed_images(self, images: Tensor, description: str, *, progress: Progress = ...) -> Tensor:
        """Vectors (N, E) of length 1 of images (N, H, W, 3) uint8."""
        ...

    def embed_captions(self, captions: list[str], /) -> Tensor:
        """Vectors (N, E) of length 1 of N captions."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recall:
    """A set of pairs, each caption looking for its image."""

    num_pairs: int
    """Pairs that took part, a multiple of the candidates."""
    recall_at_1: float
    """Share of captions whose nearest image is their own."""
    recall_at_5: float
    """Share of captions with their own image among the five nearest."""
    cosine: float
    """Mean cosine of the two vectors of a pair, in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class RetrievalScore:
    """Samples between their bounds; `dataclasses.asdict` of it is plain JSON."""

    embedding: str
    """What says which images are near a caption."""
    num_candidates: int
    """Images that each caption chooses from."""
    samples: Recall
    """The pairs that a model sampled."""
    dealt_samples: Recall
    """The same images with the model's own captions dealt at random: what captions that are equal earn."""
    ceiling: Recall
    """Real held-out pairs."""
    floor: Recall
    """The same images with captions dealt at random."""


def measure_retrieval(
    samples: PairDataset,
    test: PairDataset,
    embedding: Embedding,
    *,
    num_candidates: int = NUM_CANDIDATES,
    seed: int = 0,
    progress: Progress = NoProgress(),
) -> RetrievalScore:
    """Score sampled pairs, and real ones beside them.

    Args:
        samples: What a model sampled.
        test: Real pairs that neither the model nor the embedding has learnt from; each image is taken
            with its first caption.
        num_candidates: N, at least 5.
        seed: Seed of the groups of N and of the deal.

    Raises:
        MxqvaeError: Fewer samples or held-out images than candidates, or fewer than five candidates.
    """
    if num_candidates < 5:
        raise MxqvaeError(f"each caption needs 5 candidates or more, got {num_candidates}")
    real = test.whole().one_per_image()
    for pairs, what in ((samples, "samples"), (real, "held-out images")):
        if len(pairs) < num_candidates:
            raise MxqvaeError(
                f"{len(pairs)} {what} are fewer than {num_candidates} candidates; give more, or a smaller "
                "--candidates"
            )

    def score(pairs: PairDataset, what: str) -> tuple[Recall, Recall]:
        """The pairs as they are, and with their captions dealt."""
        images = embedding.embed_images(pairs.images, f"embed {what}", progress=progress)
        captions = embedding.embed_captions(pairs.captions)
        dealt = deal_numbers(len(pairs), seed)
        dealt_captions = [pairs.captions[number] for number in dealt]
        return (
            recall(images, captions, pairs.captions, num_candidates, seed),
            recall(images, captions[dealt], dealt_captions, num_candidates, seed),
        )

    of_samples, of_dealt = score(samples, "samples")
    ceiling, floor = score(real, "held-out images")
    return RetrievalScore(
        embedding=embedding.name,
        num_candidates=num_candidates,
        samples=of_samples,
        dealt_samples=of_dealt,
        ceiling=ceiling,
        floor=floor,
    )


def recall(
    images: Tensor, captions: Tensor, texts: Sequence[str], num_candidates: int, seed: int = 0
) -> Recall:
    """Score pairs in groups drawn at random; what does not fill a group is left out.

    Args:
        images: Vectors (N, E) of length 1.
        captions: Vectors (N, E) of length 1 of their captions.
        texts: The N captions.
        num_candidates: Pairs of a group, at most N.
    """
    num_pairs = len(texts) // num_candidates * num_candidates
    order = torch.tensor(random.Random(seed).sample(range(len(texts)), num_pairs))
    ranks, cosines = [], []
    for group in order.split(num_candidates):
        similarity = (captions[group] @ images[group].T).double()
        groups_texts = [texts[number] for number in group.tolist()]
        kinds = {text: number for number, text in enumerate(groups_texts)}
        kind = torch.tensor([kinds[text] for text in groups_texts])
        own = similarity.masked_fill(kind[:, None] != kind, -torch.inf).amax(1)
        # Images as near as its own stand before it: what cannot tell images apart finds none.
        others = similarity.masked_fill(kind[:, None] == kind, -torch.inf)
        ranks.append((others >= own[:, None]).sum(1))
        cosines.append(similarity.diagonal())
    rank = torch.cat(ranks)
    return Recall(
        num_pairs=num_pairs,
        recall_at_1=float((rank < 1).double().mean()),
        recall_at_5=float((rank < 5).double().mean()),
        cosine=float(torch.cat(cosines).mean()),
    )
