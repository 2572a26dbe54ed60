import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from mxqvae.data.batch import PairBatch
from mxqvae.data.caption_grammar import Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.guidance_curve import measure_guidance
from mxqvae.generation import parallel
from mxqvae.generation.completion import CompletionConfig, Completions
from mxqvae.generation.pipeline import PairGenerator

ONE_DRAW = CompletionConfig(num_images=1, num_attempts=1, num_rounds=1)


class DarkReader:
    """A judge that sees what the first captions name in dark images, and nothing in light ones."""

    def __init__(self, pairs: PairDataset) -> None:
        self.slots = pairs.slots or []

    def read(self, images: torch.Tensor, /) -> list[tuple[Slot, ...]]:
        dark = images.float().mean((1, 2, 3)) < 40
        return [slots if is_dark else () for slots, is_dark in zip(self.slots, dark, strict=True)]


@pytest.fixture
def few_pairs(caption_mnist_small: Path) -> PairDataset:
    """The first 20 test pairs."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    return PairDataset(pairs.images[:20], pairs.captions[:20], (pairs.slots or [])[:20])


def test_each_point_is_the_measure_with_its_guidance(
    monkeypatch: pytest.MonkeyPatch, tiny_generator: PairGenerator, few_pairs: PairDataset
):
    asked = []

    def complete(_, batch: PairBatch, *, config: CompletionConfig, **options):
        asked.append(config)
        for token_ids in batch.token_ids:
            image = torch.full((1, 3, 64, 64), config.guidance / 10)
            yield Completions(PairBatch(image, token_ids[None]), [""], torch.zeros(1), [0])

    monkeypatch.setattr(parallel, "complete", complete)
    curve = measure_guidance(tiny_generator, few_pairs, DarkReader(few_pairs), [1, 2.5], config=ONE_DRAW)
    assert asked == [replace(ONE_DRAW, guidance=guidance) for guidance in (1, 1, 2.5, 2.5)]
    assert (curve.num_pairs, [point.guidance for point in curve.points]) == (20, [1, 2.5])
    assert [point.images.right.slots.position > 0 for point in curve.points] == [True, False]
    assert [point.images.num_distances > 0 for point in curve.points] == [True, False]
    assert curve.points[1].images.diversity is None
    tree = json.loads(json.dumps(asdict(curve), allow_nan=False))
    assert [point["guidance"] for point in tree["points"]] == [1, 2.5]


@pytest.mark.parametrize("guidances", [[], [1, -0.5], [float("nan")], [1, float("inf")]])
def test_messages(tiny_generator: PairGenerator, few_pairs: PairDataset, guidances: list[float]):
    with pytest.raises(
        MxqvaeError, match="guidances must be finite and at least 0, at least one of them, got"
    ):
        measure_guidance(tiny_generator, few_pairs, DarkReader(few_pairs), guidances)
