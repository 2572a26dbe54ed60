import json
import random
from collections.abc import Callable
from dataclasses import asdict
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mxqvae.data.archives.cub200 import Cub200
from mxqvae.data.archives.flowers102 import Flowers102
from mxqvae.data.batch import PairBatch
from mxqvae.data.degree import DEGREE_KINDS, degrees_of, kinds_in, read_degree_set
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import correlation
from mxqvae.evaluation.correlation import (
    POSTER_ROWS,
    POSTER_ROWS_OF_PHOTOS,
    CorrelationScore,
    DegreeScore,
    mean_distance,
    poster_rows_of,
    reconstruct,
    score_correlation,
    score_degree,
)
from mxqvae.evaluation.slot_words import colours_alone
from mxqvae.generation.pipeline import PairGenerator

RED_THREE = "The red 3 is on the top left."


class Fake:
    """A stage 1 whose codes are the words it gives back; `choose` makes them from said and true words."""

    def __init__(
        self, choose: Callable[[Tensor, Tensor], Tensor], true_words: dict[bytes, Tensor] | None = None
    ) -> None:
        self.choose = choose
        self.true_words = true_words or {}
        self.num_encoded = 0

    def encode(self, batch: PairBatch) -> Tensor:
        self.num_encoded += len(batch.images)
        pixels = (batch.images * 255).round().to(torch.uint8)
        true = [
            self.true_words.get(key_of(image), said)
            for image, said in zip(pixels, batch.token_ids, strict=True)
        ]
        return self.choose(batch.token_ids, torch.stack(true))

    def decode(self, indices: Tensor) -> PairBatch:
        return PairBatch(torch.zeros(len(indices), 3, 64, 64), indices)


def key_of(image: Tensor) -> bytes:
    return image.contiguous().numpy().tobytes()


@pytest.fixture(scope="module")
def tokenizer(caption_mnist_small: Path) -> CaptionTokenizer:
    return CaptionTokenizer.train(PairDataset.from_parquet(caption_mnist_small, "train").captions)


@pytest.fixture(scope="module")
def true_words(degree_sets_small: Path, tokenizer: CaptionTokenizer) -> dict[bytes, Tensor]:
    """By image, (3, H, W) uint8, the encoded caption that is true of it."""
    words = {}
    for kind in DEGREE_KINDS:
        pairs = read_degree_set(degree_sets_small, kind, degrees_of(kind)[0])
        for image, ids in zip(pairs.images, tokenizer.encode(pairs.captions), strict=True):
            words[key_of(image.permute(2, 0, 1))] = ids
    return words


def shares(score: CorrelationScore, measure: str) -> dict[str, list[float]]:
    return {
        name: [getattr(degree, measure).mean for degree in kind.degrees] for name, kind in score.kinds.items()
    }


IDEAL = {kind: [degree / degrees_of(kind)[0] for degree in degrees_of(kind)] for kind in DEGREE_KINDS}
ONES = {kind: [1.0] * len(degrees_of(kind)) for kind in DEGREE_KINDS}


class TestModelsOfKnownScore:
    def test_one_that_copies_captions(self, degree_sets_small: Path, tokenizer: CaptionTokenizer, true_words):
        score = score_correlation(Fake(lambda said, true: said, true_words), tokenizer, degree_sets_small)
        assert shares(score, "words") == shares(score, "slots") == ONES
        assert shares(score, "image_slots") == IDEAL
        for kind in score.kinds.values():
            assert kind.word_distance == kind.slot_distance == 0.5
            assert all(degree.other_words == 1 for degree in kind.degrees)

    def test_one_that_reads_images(self, degree_sets_small: Path, tokenizer: CaptionTokenizer, true_words):
        score = score_correlation(Fake(lambda said, true: true, true_words), tokenizer, degree_sets_small)
        assert shares(score, "words") == shares(score, "slots") == IDEAL
        assert shares(score, "image_slots") == ONES
        for kind in score.kinds.values():
            assert kind.word_distance == kind.slot_distance == 0
            for degree in kind.degrees:
                assert degree.words.standard_error == degree.slots.standard_error == 0
                assert degree.other_words == 1

    def test_one_that_reads_digits_from_images_and_copies_colours(
        self, degree_sets_small: Path, tokenizer: CaptionTokenizer, true_words
    ):
        digits = tokenizer.encode([str(digit) for digit in range(10)])[:, 0]
        model = Fake(lambda said, true: torch.where(torch.isin(said, digits), true, said), true_words)
        score = score_correlation(model, tokenizer, degree_sets_small)
        assert shares(score, "slots") == shares(score, "image_slots") == IDEAL
        for kind, line in shares(score, "words").items():
            assert line == pytest.approx([(1 + share) / 2 for share in IDEAL[kind]])

    def test_one_that_gives_nothing_back(self, degree_sets_small: Path, tokenizer: CaptionTokenizer):
        silent = Fake(lambda said, true: torch.zeros_like(said))
        score = score_correlation(silent, tokenizer, degree_sets_small)
        for measure in ("words", "slots", "image_slots"):
            assert not any(share for line in shares(score, measure).values() for share in line)
        assert all(degree.other_words == 0 for kind in score.kinds.values() for degree in kind.degrees)

    def test_words_count_at_their_own_place_only(self, tokenizer: CaptionTokenizer):
        shifted = Fake(lambda said, true: torch.cat([said[:, :1], said[:, :-1]], dim=1))
        score = score_degree(shifted, tokenizer, torch.zeros(1, 8, 8, 3), [RED_THREE], [RED_THREE], 1)
        assert (score.words.mean, score.slots.mean, score.image_slots.mean) == (0, 0, 0)

    def test_a_slot_counts_when_both_its_words_do(self, tokenizer: CaptionTokenizer):
        said = "The red 3 is on the top left, and the 7 on the top right is green."
        back = "The red 3 is on the top left, and the 7 on the top right is blue."
        model = Fake(lambda _, true: tokenizer.encode([back]))
        score = score_degree(model, tokenizer, torch.zeros(1, 8, 8, 3), [said], [back], 1)
        assert (score.words.mean, score.slots.mean, score.image_slots.mean) == (0.75, 0.5, 1)
        assert score.other_words == 1


class TestPhotos:
    """Degree sets of colour words, which a vocabulary of subwords may spell in several tokens."""

    @pytest.fixture
    def tokenizer(self, coloured_photos: Path) -> CaptionTokenizer:
        return CaptionTokenizer.load(coloured_photos / "tokenizer.json")

    def test_one_that_copies_captions(self, colour_degree_sets: Path, tokenizer: CaptionTokenizer):
        score = score_correlation(Fake(lambda said, true: said), tokenizer, colour_degree_sets)
        assert list(score.kinds) == ["Quad1", "Quad2", "Quad4"]
        for kind in score.kinds.values():
            assert kind.word_distance == kind.slot_distance == 0.5
            assert all(degree.other_words == 1 for degree in kind.degrees)

    def test_one_that_reads_images(self, colour_degree_sets: Path, tokenizer: CaptionTokenizer):
        for kind in kinds_in(colour_degree_sets):
            true = read_degree_set(colour_degree_sets, kind, degrees_of(kind)[0]).captions
            for degree in degrees_of(kind):
                pairs = read_degree_set(colour_degree_sets, kind, degree)
                model = Fake(lambda said, _, true=true: tokenizer.encode(true))
                score = score_degree(
                    model, tokenizer, pairs.images, pairs.captions, true, degree, colours_alone
                )
                assert score.words.mean == score.slots.mean == score.ideal
                assert (score.image_slots.mean, score.other_words) == (1, 1)


def test_the_poster_s_rows_stand_beside_its_own_sets_only(
    degree_sets_small: Path, colour_degree_sets: Path, tmp_path: Path
):
    assert poster_rows_of(degree_sets_small) == POSTER_ROWS
    assert poster_rows_of(colour_degree_sets) == poster_rows_of(tmp_path) == {}
    manifest = json.loads((colour_degree_sets / "manifest.json").read_text())
    for layout, rows in POSTER_ROWS_OF_PHOTOS.items():
        assert list(rows) == list(POSTER_ROWS)
        manifest["source"]["layout"] = layout
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        assert poster_rows_of(tmp_path) == rows


@pytest.mark.parametrize("builder", [Flowers102, Cub200])
def test_photo_sets_are_told_by_their_builder_s_layout(builder: Any):
    assert builder.layout in POSTER_ROWS_OF_PHOTOS


class TestHowItIsCounted:
    @pytest.fixture
    def pairs(self, degree_sets_small: Path) -> tuple[PairDataset, list[str]]:
        """Quad4 at degree 2, and what is true of it."""
        true = read_degree_set(degree_sets_small, "Quad4", 4).captions
        return read_degree_set(degree_sets_small, "Quad4", 2), true

    @pytest.fixture
    def careless(self, true_words) -> Fake:
        """Copies some captions, reads some images, and sometimes gives back neither."""

        def choose(said: Tensor, true: Tensor) -> Tensor:
            number = said.sum(1, keepdim=True) % 5
            return torch.where(number < 2, said, torch.where(number < 4, true, 5))

        return Fake(choose, true_words)

    def test_neither_order_nor_batch_matters(
        self,
        pairs: tuple[PairDataset, list[str]],
        careless: Fake,
        tokenizer: CaptionTokenizer,
        monkeypatch: pytest.MonkeyPatch,
    ):
        def score(order: list[int]) -> DegreeScore:
            said, true = pairs[0].captions, pairs[1]
            images = pairs[0].images[order]
            return score_degree(
                careless, tokenizer, images, [said[i] for i in order], [true[i] for i in order], 2
            )

        order = list(range(len(pairs[1])))
        expected = score(order)
        assert 0 < expected.words.mean < 1
        for seed in range(5):
            assert score(random.Random(seed).sample(order, len(order))) == expected
        for size in (1, 5, 12):
            monkeypatch.setattr(correlation, "BATCH_SIZE", size)
            assert score(order) == expected

    def test_the_standard_error_is_that_of_pairs(
        self, pairs: tuple[PairDataset, list[str]], careless: Fake, tokenizer: CaptionTokenizer
    ):
        said, true = pairs[0].captions, pairs[1]
        one_by_one = [
            score_degree(careless, tokenizer, pairs[0].images[i : i + 1], said[i : i + 1], true[i : i + 1], 2)
            for i in range(len(said))
        ]
        together = score_degree(careless, tokenizer, pairs[0].images, said, true, 2)
        for measure in ("words", "slots", "image_slots"):
            each = [getattr(score, measure).mean for score in one_by_one]
            assert getattr(together, measure).mean == pytest.approx(np.mean(each))
            error = np.std(each, ddof=1) / sqrt(len(each))
            assert getattr(together, measure).standard_error == pytest.approx(error)
        assert all(score.words.standard_error is None for score in one_by_one)

    def test_the_first_pairs_of_each_kind(
        self, degree_sets_small: Path, careless: Fake, tokenizer: CaptionTokenizer
    ):
        score = score_correlation(careless, tokenizer, degree_sets_small, num=5)
        assert careless.num_encoded == 5 * 14
        assert {degree.num_pairs for kind in score.kinds.values() for degree in kind.degrees} == {5}

    def test_it_is_plain_json(self, degree_sets_small: Path, careless: Fake, tokenizer: CaptionTokenizer):
        score = score_correlation(careless, tokenizer, degree_sets_small)
        assert json.loads(json.dumps(asdict(score))) == asdict(score)
        assert {name: [d.degree for d in kind.degrees] for name, kind in score.kinds.items()} == {
            kind: list(degrees_of(kind)) for kind in DEGREE_KINDS
        }
        assert {name: [d.ideal for d in kind.degrees] for name, kind in score.kinds.items()} == IDEAL

    def test_a_model_of_ours(self, degree_sets_small: Path, tiny_generator: PairGenerator):
        score = score_correlation(tiny_generator.autoencoder, tiny_generator.tokenizer, degree_sets_small)
        for kind in score.kinds.values():
            for degree in kind.degrees:
                assert 0 <= degree.slots.mean <= degree.words.mean <= 1
                assert 0 <= degree.other_words <= 1
        again = score_correlation(tiny_generator.autoencoder, tiny_generator.tokenizer, degree_sets_small)
        assert again == score


def test_distances_of_the_poster():
    distances = {row: round(mean_distance(line, IDEAL["Quad4"]), 3) for row, line in POSTER_ROWS.items()}
    assert distances["MXQ-VAE"] == 0.015  # as decisions.md has it
    assert min(distances, key=lambda row: distances[row]) == "MXQ-VAE"


def test_a_model_in_training_is_refused(tiny_generator: PairGenerator, tokenizer: CaptionTokenizer):
    batch = PairBatch(torch.zeros(1, 3, 64, 64), tokenizer.encode([RED_THREE]))
    assert reconstruct(tiny_generator.autoencoder, batch).images.shape == (1, 3, 64, 64)
    tiny_generator.autoencoder.train()
    with pytest.raises(ValueError, match="in training mode; call its eval"):
        reconstruct(tiny_generator.autoencoder, batch)


@pytest.mark.parametrize(
    ("captions", "true", "message"),
    [
        ([RED_THREE], [RED_THREE] * 2, "2 images, 1 edited and 2 true captions; give as many of each"),
        ([RED_THREE, "The top left 3 is red, and the top right 1 is blue."], [RED_THREE] * 2, "1 to 2 slots"),
        (["The top left.", "The top right."], [RED_THREE] * 2, "0 to 0 slots; build the set again"),
        (["The 3 3 is red.", "The 3 3 is red."], [RED_THREE] * 2, "a colour for each digit"),
        (["The pink 3 is on the top left."] * 2, [RED_THREE] * 2, "unknown in captions: 'pink'"),
    ],
)
def test_messages(tokenizer: CaptionTokenizer, captions: list[str], true: list[str], message: str):
    copies = Fake(lambda said, true: said)
    with pytest.raises(MxqvaeError, match=message):
        score_degree(copies, tokenizer, torch.zeros(2, 64, 64, 3), captions, true, degree=1)


def test_no_pairs(tokenizer: CaptionTokenizer):
    with pytest.raises(MxqvaeError, match="0 images, 0 edited and 0 true captions"):
        score_degree(Fake(lambda said, true: said), tokenizer, torch.zeros(0, 64, 64, 3), [], [], degree=1)
