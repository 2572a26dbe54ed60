import io
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import similarity
from mxqvae.evaluation.image_features import ImageFeatures
from mxqvae.evaluation.sentence_encoder import SentenceEncoder
from mxqvae.evaluation.similarity import (
    ReferencePool,
    find_references,
    measure_similarity,
    reference_pool,
    score_similarity,
)
from mxqvae.progress import LineProgress

COLOURS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}


def coloured_pairs(num: int, seed: int, num_captions: int = 1) -> PairDataset:
    """Images of one of three colours, never the same twice, and captions that name it, each its own way."""
    generator = torch.Generator().manual_seed(seed)
    names = list(COLOURS)
    images, captions, numbers = [], [], []
    for number in range(num):
        name = names[number % len(names)]
        noise = torch.randint(-15, 16, (4, 4, 3), generator=generator)
        images.append((torch.tensor(COLOURS[name]) + noise).clamp(0, 255).to(torch.uint8))
        for version in range(num_captions):
            captions.append(f"a {name} square, number{number} version{version}")
            numbers.append(number)
    return PairDataset(torch.stack(images), captions, image_numbers=torch.tensor(numbers))


def brute_force(images: Tensor, pool: ReferencePool, features: ImageFeatures, k: int) -> list[list[str]]:
    references = []
    for image in images:
        vector = torch.nn.functional.normalize(features.extract(image[None], ""), dim=1)[0]
        cosines = [
            -2.0 if image.equal(other) else round(float(vector.double() @ each.double()), 6)
            for other, each in zip(pool.images, pool.features, strict=True)
        ]
        nearest = sorted(range(len(cosines)), key=lambda number: (-cosines[number], number))[:k]
        references.append([caption for number in nearest for caption in pool.captions[number]])
    return references


class TestReferences:
    @pytest.mark.parametrize("block", [2, 256])
    def test_they_are_the_captions_of_the_nearest_other_images(
        self, mean_colour: ImageFeatures, monkeypatch: pytest.MonkeyPatch, block: int
    ):
        monkeypatch.setattr(similarity, "QUERIES_AT_A_TIME", block)
        pairs, others = coloured_pairs(15, seed=1, num_captions=2), coloured_pairs(7, seed=2)
        pool = reference_pool(pairs, mean_colour)
        images = torch.cat([others.images, pairs.images[3:5]])
        found = find_references(images, pool, mean_colour, "images", 4)
        assert found == brute_force(images, pool, mean_colour, 4)
        assert {len(each) for each in found} == {8}
        assert all(
            caption not in each
            for each, number in zip(found[7:], (3, 4), strict=True)
            for caption in pool.captions[number]
        )

    def test_what_is_in_the_pool_is_not_looked_at_again(self, mean_colour: ImageFeatures):
        stream = io.StringIO()
        pairs, others = coloured_pairs(6, seed=1), coloured_pairs(2, seed=2)
        pool = reference_pool(pairs, mean_colour)
        images = torch.cat([pairs.images, others.images])
        find_references(images, pool, mean_colour, "images", 3, progress=LineProgress(stream))
        assert "features of images: 2 images" in stream.getvalue()
        find_references(pairs.images, pool, mean_colour, "nothing new", 3, progress=LineProgress(stream))
        assert "nothing new" not in stream.getvalue()

    def test_a_copy_under_another_number_is_no_reference_either(self, mean_colour: ImageFeatures):
        pairs = coloured_pairs(3, seed=1)
        doubled = PairDataset(pairs.images[[0, 1, 2, 0]], [*pairs.captions, "a copy"])
        pool = reference_pool(doubled, mean_colour)
        (found,) = find_references(pairs.images[:1], pool, mean_colour, "images", 2)
        assert sorted(found) == sorted(pairs.captions[1:])

    def test_images_without_a_caption_are_none(self, mean_colour: ImageFeatures):
        pairs = coloured_pairs(3, seed=1)
        pool = reference_pool(PairDataset(pairs.images, ["", "b", "c"]), mean_colour)
        assert pool.captions == [["b"], ["c"]]
        assert pool.images.equal(pairs.images[1:])
        with pytest.raises(MxqvaeError, match="no image has a caption to refer to"):
            reference_pool(PairDataset(pairs.images, ["", "", ""]), mean_colour)

    def test_too_few_are_counted(self, mean_colour: ImageFeatures):
        pairs = coloured_pairs(5, seed=1)
        pool = reference_pool(pairs, mean_colour)
        with pytest.raises(
            MxqvaeError, match="5 reference images are needed for each of the samples, there are 4"
        ):
            find_references(pairs.images, pool, mean_colour, "samples", 5)
        with pytest.raises(MxqvaeError, match="no samples to score"):
            find_references(pairs.images[:0], pool, mean_colour, "samples", 3)


class TestScore:
    def test_a_caption_equal_to_its_references_scores_one(self, minilm: SentenceEncoder):
        captions = ["a red dog", "two cats on a mat"]
        score = asdict(score_similarity(captions, [[caption] * 10 for caption in captions], minilm))
        assert score.pop("num_pairs") == 2
        assert list(score.values()) == pytest.approx([1] * 5, abs=1e-6)

    def test_top_k_falls_with_k(self, bag_of_words: SentenceEncoder):
        pairs = coloured_pairs(12, seed=0)
        references = [pairs.captions[:row] + pairs.captions[row + 1 :] for row in range(12)]
        score = score_similarity(pairs.captions, references, bag_of_words)
        assert 1 > score.top_1 > score.top_5 > score.top_10 > 0

    def test_top_k_is_the_mean_of_the_k_highest(self, bag_of_words: SentenceEncoder):
        references = ["a red dog"] * 2 + ["a red cat"] * 4 + ["nothing"] * 5
        near = float(torch.prod(bag_of_words.encode(["a red dog", "a red cat"]), dim=0).sum())
        far = float(torch.prod(bag_of_words.encode(["a red dog", "nothing"]), dim=0).sum())
        score = score_similarity(["a red dog"], [references], bag_of_words)
        expected = (1, (2 + 3 * near) / 5, (2 + 4 * near + 4 * far) / 10)
        assert (score.top_1, score.top_5, score.top_10) == pytest.approx(expected, abs=1e-6)

    def test_neither_the_pairs_order_nor_the_references_matters(self, bag_of_words: SentenceEncoder):
        pairs = coloured_pairs(12, seed=0)
        references = [pairs.captions[:row] + pairs.captions[row + 1 :] for row in range(12)]
        expected = asdict(score_similarity(pairs.captions, references, bag_of_words))
        turned = [each[::-1] for each in references[::-1]]
        score = asdict(score_similarity(pairs.captions[::-1], turned, bag_of_words))
        assert score == pytest.approx(expected)

    def test_nine_references_are_too_few(self, bag_of_words: SentenceEncoder):
        with pytest.raises(MxqvaeError, match="10 references are needed for each pair, one has 9"):
            score_similarity(["a", "b"], [["a"] * 10, ["b"] * 9], bag_of_words)


class TestComparison:
    @pytest.fixture
    def real(self) -> PairDataset:
        return coloured_pairs(60, seed=1, num_captions=2)

    def test_real_pairs_as_samples_reach_ceiling_and_floor(
        self, real: PairDataset, mean_colour: ImageFeatures, bag_of_words: SentenceEncoder
    ):
        samples = PairDataset(real.images, real.captions[::2])
        found = measure_similarity(samples, real, real, mean_colour, bag_of_words, seed=3)
        assert (found.samples, found.dealt_samples) == (found.ceiling, found.floor)
        assert (found.feature_space, found.sentence_encoder) == ("mean colour", "bag of words")
        assert (found.num_reference_images, found.num_neighbours, found.references_per_pair) == (60, 10, 20)
        for name, figure in asdict(found.ceiling).items():
            if name != "num_pairs":
                assert figure > asdict(found.floor)[name] + 0.05

    def test_samples_that_lie_stand_at_the_floor(
        self, real: PairDataset, mean_colour: ImageFeatures, bag_of_words: SentenceEncoder
    ):
        others = coloured_pairs(30, seed=2)
        lying = PairDataset(others.images, others.captions[1:] + others.captions[:1])
        honest, lied = (
            measure_similarity(samples, real, real, mean_colour, bag_of_words).samples
            for samples in (others, lying)
        )
        assert lied.unigram_precision < honest.unigram_precision - 0.1

    def test_references_may_come_from_another_split(
        self, real: PairDataset, mean_colour: ImageFeatures, bag_of_words: SentenceEncoder
    ):
        stream = io.StringIO()
        found = measure_similarity(
            coloured_pairs(6, seed=2),
            coloured_pairs(9, seed=3),
            real,
            mean_colour,
            bag_of_words,
            num_neighbours=5,
            progress=LineProgress(stream),
        )
        assert (found.num_reference_images, found.references_per_pair) == (60, 10)
        assert (found.samples.num_pairs, found.ceiling.num_pairs) == (6, 9)
        for part in ("references: 60 images", "samples: 6 images", "held-out images: 9 images"):
            assert part in stream.getvalue()

    def test_a_single_sample_cannot_be_dealt(
        self, real: PairDataset, mean_colour: ImageFeatures, bag_of_words: SentenceEncoder
    ):
        with pytest.raises(MxqvaeError, match="1 pairs cannot exchange captions"):
            measure_similarity(coloured_pairs(1, seed=2), real, real, mean_colour, bag_of_words)
