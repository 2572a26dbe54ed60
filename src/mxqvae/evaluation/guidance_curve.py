"""How guidance trades consistency against diversity, where images are found for captions of Caption MNIST."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.completion import ImagesFound, measure_completion
from mxqvae.evaluation.consistency import ConsistencyScore, SlotReader
from mxqvae.generation.completion import DEFAULT_COMPLETION, CompletionConfig
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.progress import NoProgress, Progress


@dataclass(frozen=True, kw_only=True)
class GuidancePoint:
    """The images found with one guidance."""

    guidance: float
    """See `CompletionConfig.guidance`."""
    images: ImagesFound
    """Their share that is right, and their diversity."""


@dataclass(frozen=True, kw_only=True)
class GuidanceCurve:
    """The same captions with several; `dataclasses.asdict` of it is plain JSON."""

    num_pairs: int
    """Captions."""
    points: tuple[GuidancePoint, ...]
    """In the order asked for."""
    ceiling: ConsistencyScore
    """The real pairs before the same judge."""


def measure_guidance(
    generator: PairGenerator,
    pairs: PairDataset,
    judge: SlotReader,
    guidances: Sequence[float],
    *,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
    num_processes: int = 1,
    progress: Progress = NoProgress(),
) -> GuidanceCurve:
    """Find images for the captions of `pairs` with each guidance, all else as in `config`.

    Args:
        pairs: As in `measure_completion`.
        guidances: At least one, each finite and at least 0.
        seed: Of the answers.
        num_processes: As in `measure_completion`.

    Raises:
        MxqvaeError: No guidance, one below 0 or without end, or what `measure_completion` raises.
    """
    if not guidances or not all(math.isfinite(guidance) and guidance >= 0 for guidance in guidances):
        raise MxqvaeError(
            f"guidances must be finite and at least 0, at least one of them, got {list(guidances)}"
        )
    scores = {
        guidance: measure_completion(
            generator,
            pairs,
            judge,
            ways=["images"],
            seed=seed,
            config=replace(config, guidance=float(guidance)),
            num_processes=num_processes,
            progress=progress,
        )
        for guidance in guidances
    }
    points = [
        GuidancePoint(guidance=guidance, images=score.images)
        for guidance, score in scores.items()
        if score.images
    ]
    ceiling = next(iter(scores.values())).ceiling
    return GuidanceCurve(num_pairs=len(pairs), points=tuple(points), ceiling=ceiling)
