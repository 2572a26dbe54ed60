import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mxqvae.data.caption_grammar import Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation import memorization
from mxqvae.evaluation.memorization import (
    FoundNeighbours,
    Kinds,
    Reference,
    find_neighbours,
    kinds_of,
    measure_memorization,
    neighbour_sheet,
    reconstruct_pairs,
    score_neighbours,
)
from mxqvae.evaluation.nearest_images import Neighbours, nearest_training_images
from mxqvae.generation.contact_sheet import MARGIN, contact_sheet
from mxqvae.generation.pipeline import PairGenerator


def draw_images(num: int, seed: int = 0, height: int = 20, width: int = 13) -> Tensor:
    """Images of bytes, mostly black, of a size that no tile divides."""
    torch.manual_seed(seed)
    images = torch.randint(256, (num, height, width, 3), dtype=torch.uint8)
    lit = torch.rand(num, height // 4 + 1, width // 4 + 1, 3) < 0.3
    lit = lit.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width]
    return images * lit


class TestScore:
    def test_test_images_are_where_they_should_be(self):
        test, training = draw_images(200, 1), draw_images(50, 2)
        score = measure_memorization(test, training, test)
        assert score.samples == score.test
        assert score.nearer_than_p05 == 0.05
        assert score.nearer_than_median == 0.5
        assert (score.num_training, score.num_samples, score.num_test) == (50, 200, 200)

    def test_copies_are_found_out(self):
        training, test = draw_images(50, 1), draw_images(40, 2)
        score = measure_memorization(training[:30], training, test)
        assert score.samples.num_copies == 30
        assert score.samples.p95 == 0
        assert score.nearer_than_p05 == score.nearer_than_median == 1
        assert score.test.num_copies == 0

    def test_images_far_from_everything_are_not_near(self):
        score = measure_memorization(255 - draw_images(30, 1), draw_images(50, 2), draw_images(30, 3))
        assert score.nearer_than_p05 == score.nearer_than_median == 0

    def test_there_are_as_many_test_images_as_samples(self):
        samples, training, test = draw_images(10, 1), draw_images(20, 2), draw_images(30, 3)
        score = measure_memorization(samples, training, test)
        assert score == measure_memorization(samples, training, test[:10])
        assert (score.num_samples, score.num_test) == (10, 10)
        assert measure_memorization(samples, training, test[:4]).num_test == 4

    def test_reconstructions_are_a_second_reference(self):
        samples, training = draw_images(30, 1), draw_images(40, 2)
        test, reconstructed = draw_images(35, 3), draw_images(35, 4)
        score = measure_memorization(samples, training, test, reconstructed)
        other = measure_memorization(samples, training, reconstructed)
        assert replace(score, reconstructed=None) == measure_memorization(samples, training, test)
        assert score.reconstructed == Reference(
            distances=other.test,
            nearer_than_p05=other.nearer_than_p05,
            nearer_than_median=other.nearer_than_median,
        )

    def test_reconstructions_are_what_stage_1_decodes(
        self, tiny_generator: PairGenerator, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(memorization, "CODES_AT_A_TIME", 2)
        indices = torch.randint(16, (5, 8))
        images, captions = reconstruct_pairs(tiny_generator, indices)
        assert (images.shape, images.dtype) == ((5, 64, 64, 3), torch.uint8)
        decoded = tiny_generator.decode(indices)
        assert np.abs(images.numpy().astype(int) - decoded.images).max() <= 1
        assert captions == decoded.captions

    def test_the_quantiles_are_numpy_s(self):
        found = find_neighbours(draw_images(37, 1), draw_images(20, 2), draw_images(37, 3))
        quantiles = list(asdict(score_neighbours(found).samples).values())[:-1]
        levels = [0, 0.05, 0.25, 0.5, 0.75, 0.95]
        assert quantiles == pytest.approx(np.quantile(found.samples.distances.numpy(), levels))

    def test_it_is_plain_json(self):
        tree = asdict(measure_memorization(draw_images(3, 1), draw_images(4, 2), draw_images(3, 3)))
        assert json.loads(json.dumps(tree, allow_nan=False)) == tree


class TestMirrored:
    def test_the_training_images_are_searched_on_both_sides(self):
        samples, training, test = draw_images(23, 1), draw_images(31, 2), draw_images(23, 3)
        both = torch.cat([training, training.flip(2)])
        found = find_neighbours(samples, training, test, test, mirrored=True)
        assert found.num_training == 31
        assert found.reconstructed is not None
        for images, neighbours in (
            (samples, found.samples),
            (test, found.test),
            (test, found.reconstructed),
        ):
            expected = nearest_training_images(images, both)
            assert neighbours.indices.equal(expected.indices % 31)
            assert neighbours.distances.equal(expected.distances)
            assert neighbours.mirrored is not None
            assert neighbours.mirrored.equal(expected.indices >= 31)

    def test_mirrored_copies_are_copies(self):
        training, test = draw_images(20, 1), draw_images(20, 2)
        found = find_neighbours(training.flip(2), training, test, mirrored=True)
        assert score_neighbours(found).samples.num_copies == 20
        assert measure_memorization(training.flip(2), training, test).samples.num_copies < 20

    def test_the_sheet_shows_them_mirrored(self):
        training = draw_images(4)
        found = find_neighbours(training[:1].flip(2), training, training, mirrored=True).samples
        sheet = neighbour_sheet(training[:1].flip(2), ["a"], training, ["b"] * 4, found)
        pictures = training[:1].flip(2).expand(2, -1, -1, -1).numpy()
        texts = ["Sample 0: a", "Training pair 0, mirrored, distance 0.000: b"]
        assert sheet.tobytes() == contact_sheet(pictures, texts).tobytes()


class TestKinds:
    def test_a_sample_is_held_against_its_own_kind(self):
        """Copies of a crowded kind, each farther than the nearest images of an empty kind."""
        test = torch.tensor([*[0.01] * 20, *[1.0] * 20], dtype=torch.float64)
        samples = torch.tensor([*[0.02] * 20, *[0.5] * 20], dtype=torch.float64)
        kinds = Kinds([*["Single"] * 20, *["Quad4"] * 20], [*["Single"] * 20, *["Quad4"] * 20])
        of_samples, of_test = (
            Neighbours(torch.zeros(40, dtype=torch.int64), distances) for distances in (samples, test)
        )
        found = FoundNeighbours(of_samples, of_test, num_training=1)
        score = score_neighbours(found, kinds)
        assert (score.nearer_than_p05, score.nearer_than_p05_of_kind) == (0, 0.5)
        assert score.nearer_than_median_of_kind == 0.5

    def test_the_share_is_the_mean_of_the_kinds_by_their_weights(self):
        samples, test, training = draw_images(60, 1), draw_images(60, 2), draw_images(30, 3)
        names = ["Single"] * 45 + ["Quad1"] * 15
        kinds = Kinds(names, (names[::-1] * 2)[:60])
        score = measure_memorization(samples, training, test, test, kinds=kinds)
        found = find_neighbours(samples, training, test)
        expected = 0.0
        for kind, weight in (("Single", 0.75), ("Quad1", 0.25)):
            own, others = (
                found.distances[torch.tensor([name == kind for name in kinds_])]
                for found, kinds_ in ((found.samples, kinds.samples), (found.test, kinds.test))
            )
            expected += weight * float((own < np.quantile(others.numpy(), 0.05)).double().mean())
        assert score.nearer_than_p05_of_kind == pytest.approx(expected)
        assert score.reconstructed is not None
        assert score.reconstructed.nearer_than_p05_of_kind == score.nearer_than_p05_of_kind

    def test_without_a_kind_a_sample_is_held_against_all(self):
        samples, test, training = draw_images(30, 1), draw_images(30, 2), draw_images(30, 3)
        kinds = Kinds([None] * 30, ["Single"] * 15 + ["Quad1"] * 15)
        score = measure_memorization(samples, training, test, kinds=kinds)
        assert score.nearer_than_p05_of_kind == score.nearer_than_p05
        assert score.nearer_than_median_of_kind == score.nearer_than_median

    def test_captions_and_slots_tell_them(self):
        images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
        slots = [(Slot("centre", 1, "red"),), (Slot("upper left", 1, "red"), Slot("lower left", 2, "red"))]
        test = PairDataset(images, ["a", "b"], slots)
        captions = ["This is red 7.", "A bird.", "The top left 7 is red."]
        assert kinds_of(captions, test) == Kinds(["Single", None, "Quad1"], ["Single", "Quad2"])
        assert kinds_of(captions, PairDataset(images, ["a", "b"])) is None

    def test_pairs_without_slots_count_among_all(self):
        images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
        test = PairDataset(images, ["a", "b"], [(Slot("centre", 1, "red"),), ()])
        kinds = kinds_of(["This is red 7.", "A bird."], test)
        assert kinds == Kinds(["Single", None], ["Single", None])
        score = measure_memorization(images, images, images, kinds=kinds)
        assert score.nearer_than_p05_of_kind == 0


class TestSheet:
    def test_the_nearest_come_first_each_beside_its_training_pair(self):
        images, training = draw_images(5, 1), draw_images(6, 2)
        captions, training_captions = (
            [f"caption {i}." for i in range(5)],
            [f"training {i}." for i in range(6)],
        )
        neighbours = Neighbours(torch.tensor([3, 1, 4, 1, 5]), torch.tensor([0.5, 0.1, 0.4, 0.3, 0.2]))
        sheet = neighbour_sheet(images, captions, training, training_captions, neighbours)
        expected = contact_sheet(
            torch.stack(
                [t for i in (1, 4, 3, 2, 0) for t in (images[i], training[neighbours.indices[i]])]
            ).numpy(),
            [
                *("Sample 1: caption 1.", "Training pair 1, distance 0.100: training 1."),
                *("Sample 4: caption 4.", "Training pair 5, distance 0.200: training 5."),
                *("Sample 3: caption 3.", "Training pair 1, distance 0.300: training 1."),
                *("Sample 2: caption 2.", "Training pair 4, distance 0.400: training 4."),
                *("Sample 0: caption 0.", "Training pair 3, distance 0.500: training 3."),
            ],
        )
        assert sheet.tobytes() == expected.tobytes()

    def test_it_stops_after_some(self):
        image = torch.zeros(100, 8, 8, 3, dtype=torch.uint8)
        neighbours = Neighbours(torch.zeros(100, dtype=torch.int64), torch.zeros(100))
        sheet = neighbour_sheet(image, ["red"] * 100, image[:1], ["blue"], neighbours)
        # 24 pairs of pictures, eight pictures in a row.
        assert sheet.width == MARGIN + 8 * (192 + MARGIN)
        assert sheet.height < 6 * (192 + MARGIN + 200)
