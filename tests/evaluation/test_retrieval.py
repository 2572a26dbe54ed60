import io
import itertools
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.retrieval import measure_retrieval, recall
from mxqvae.progress import LineProgress, NoProgress, Progress


def texts(num: int) -> list[str]:
    return [f"caption {number}" for number in range(num)]


def draw_vectors(num: int, seed: int = 0, size: int = 8) -> Tensor:
    return F.normalize(torch.randn(num, size, generator=torch.Generator().manual_seed(seed)), dim=1)


class TestRecall:
    def test_a_perfect_embedding_finds_all(self):
        vectors = torch.eye(20)
        found = recall(vectors, vectors, texts(20), 10)
        assert (found.num_pairs, found.recall_at_1, found.recall_at_5, found.cosine) == (20, 1, 1, 1)

    def test_an_embedding_that_cannot_tell_images_apart_finds_none(self):
        vectors = torch.ones(20, 1)
        found = recall(vectors, vectors, texts(20), 10)
        assert (found.recall_at_1, found.recall_at_5, found.cosine) == (0, 0, 1)

    def test_it_is_what_sorting_gives(self):
        images, captions = draw_vectors(12, 1), draw_vectors(12, 2)
        order = (captions @ images.T).argsort(dim=1, descending=True)
        for k, share in ((1, "recall_at_1"), (5, "recall_at_5")):
            hits = [row in nearest[:k].tolist() for row, nearest in enumerate(order)]
            assert getattr(recall(images, captions, texts(12), 12), share) == pytest.approx(sum(hits) / 12)

    def test_chance_finds_one_among_the_candidates(self):
        found = recall(draw_vectors(2000, 1), draw_vectors(2000, 2), texts(2000), 10)
        assert found.recall_at_1 == pytest.approx(1 / 10, abs=0.03)
        assert found.recall_at_5 == pytest.approx(5 / 10, abs=0.05)
        assert found.cosine == pytest.approx(0, abs=0.05)

    def test_images_of_equal_captions_both_count(self):
        vectors = torch.eye(6)
        swapped = vectors[[1, 0, 2, 3, 4, 5]]
        twins = ["twin", "twin", *texts(4)]
        assert recall(vectors, swapped, texts(6), 6).recall_at_1 == pytest.approx(4 / 6)
        assert recall(vectors, swapped, twins, 6).recall_at_1 == 1

    def test_the_order_of_the_pairs_of_a_group_does_not_matter(self):
        images, captions = draw_vectors(12, 1), draw_vectors(12, 2)
        turned = recall(images.flip(0), captions.flip(0), texts(12)[::-1], 12, seed=5)
        found = recall(images, captions, texts(12), 12)
        assert (turned.recall_at_1, turned.recall_at_5) == (found.recall_at_1, found.recall_at_5)
        assert turned.cosine == pytest.approx(found.cosine)

    def test_a_seed_draws_the_groups_and_what_fills_none_is_left_out(self):
        images, captions = draw_vectors(47, 1), draw_vectors(47, 2)
        first, again, other = (recall(images, captions, texts(47), 10, seed) for seed in (1, 1, 2))
        assert first == again
        assert first.cosine != other.cosine
        assert first.num_pairs == 40


class Colours:
    """Knows the mean colour of an image and the colours that a caption names."""

    name = "colours"

    def embed_images(self, images: Tensor, description: str, *, progress: Progress = NoProgress()) -> Tensor:
        with progress.task(description, total=len(images), unit="images") as advance:
            advance(len(images))
        return F.normalize(images.float().mean(dim=(1, 2)), dim=1)

    def embed_captions(self, captions: Sequence[str], /) -> Tensor:
        return F.normalize(torch.tensor([[float(n) for n in caption.split()] for caption in captions]), dim=1)


def coloured_pairs(num: int) -> PairDataset:
    """Images of one colour each, whose captions give its parts; no two on one line through black."""
    grades = itertools.product(range(0, 256, 40), repeat=2)
    colours = [(red, green, 255) for red, green in grades][:num]
    images = torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(num, 4, 4, 3)
    return PairDataset(images, [" ".join(map(str, colour)) for colour in colours])


class TestMeasure:
    def test_samples_stand_between_ceiling_and_floor(self):
        real = coloured_pairs(40)
        wrong = [*real.captions[:20], *real.captions[21:40], real.captions[20]]
        stream = io.StringIO()
        score = measure_retrieval(
            PairDataset(real.images, wrong), real, Colours(), num_candidates=40, progress=LineProgress(stream)
        )
        assert (score.embedding, score.num_candidates) == ("colours", 40)
        assert (score.ceiling.recall_at_1, score.floor.recall_at_1) == (1, 0)
        assert score.samples.recall_at_1 == pytest.approx(0.5)
        assert score.ceiling.cosine > score.samples.cosine > score.floor.cosine
        assert score.dealt_samples.num_pairs == 40
        assert "embed samples: 40 images" in stream.getvalue()

    def test_dealt_samples_show_what_equal_captions_earn(self):
        real = coloured_pairs(40)
        collapsed = PairDataset(real.images, [real.captions[0]] * 40)
        varied, score = (
            measure_retrieval(samples, real, Colours(), num_candidates=40) for samples in (real, collapsed)
        )
        assert (varied.samples.recall_at_1, varied.dealt_samples.recall_at_1) == (1, 0)
        assert (score.samples.recall_at_1, score.dealt_samples.recall_at_1) == (1, 1)

    def test_each_held_out_image_stands_once(self):
        real = coloured_pairs(10)
        numbers = torch.arange(10).repeat_interleave(2)
        doubled = PairDataset(
            real.images, [real.captions[number] for number in numbers], image_numbers=numbers
        )
        score = measure_retrieval(real, doubled, Colours(), num_candidates=5)
        assert score.ceiling.num_pairs == 10

    def test_too_few_pairs_or_candidates_are_named(self):
        few, many = coloured_pairs(9), coloured_pairs(20)
        with pytest.raises(MxqvaeError, match="9 samples are fewer than 10 candidates; give more"):
            measure_retrieval(few, many, Colours(), num_candidates=10)
        with pytest.raises(MxqvaeError, match="9 held-out images are fewer than 10 candidates"):
            measure_retrieval(many, few, Colours(), num_candidates=10)
        with pytest.raises(MxqvaeError, match="5 candidates or more, got 4"):
            measure_retrieval(many, many, Colours(), num_candidates=4)
