import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import nearest_images
from mxqvae.evaluation.nearest_images import Neighbours, nearest_training_images
from mxqvae.progress import LineProgress


def draw_images(num: int, seed: int = 0, height: int = 20, width: int = 13) -> Tensor:
    """Images of bytes, mostly black, of a size that no tile divides."""
    torch.manual_seed(seed)
    images = torch.randint(256, (num, height, width, 3), dtype=torch.uint8)
    lit = torch.rand(num, height // 4 + 1, width // 4 + 1, 3) < 0.3
    lit = lit.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width]
    return images * lit


def brute_force(images: Tensor, training: Tensor) -> Neighbours:
    """Whole numbers in float64, every difference taken."""
    gaps = images.flatten(1).double()[:, None] - training.flatten(1).double()
    squares, indices = gaps.square().sum(-1).min(1)
    return Neighbours(indices, (squares / images[0].numel()).sqrt() / 255)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few images make many blocks, the last ones not full."""
    monkeypatch.setattr(nearest_images, "IMAGES_AT_A_TIME", 5)
    monkeypatch.setattr(nearest_images, "TRAINING_IMAGES_AT_A_TIME", 7)


class TestNearest:
    @pytest.mark.parametrize("size", [(20, 13), (64, 64), (8, 8), (1, 1)])
    @pytest.mark.usefixtures("small_blocks")
    def test_it_is_what_brute_force_finds(self, size: tuple[int, int]):
        images, training = draw_images(23, 1, *size), draw_images(31, 2, *size)
        found, expected = nearest_training_images(images, training), brute_force(images, training)
        assert found.indices.equal(expected.indices)
        assert found.distances.equal(expected.distances)

    def test_it_is_what_torch_finds(self):
        images, training = draw_images(40, 1), draw_images(50, 2)
        distances = torch.cdist(images.flatten(1).double() / 255, training.flatten(1).double() / 255)
        found = nearest_training_images(images, training)
        assert found.indices.equal(distances.argmin(1))
        torch.testing.assert_close(found.distances, distances.amin(1) / images[0].numel() ** 0.5)

    @pytest.mark.usefixtures("small_blocks")
    def test_training_images_find_themselves(self):
        training = draw_images(30)
        found = nearest_training_images(training, training)
        assert found.indices.equal(torch.arange(30))
        assert not found.distances.any()

    @pytest.mark.usefixtures("small_blocks")
    def test_the_first_of_equals_is_named(self):
        training = draw_images(15)
        found = nearest_training_images(training, torch.cat([training, training]))
        assert found.indices.equal(torch.arange(15))

    @pytest.mark.usefixtures("small_blocks")
    def test_permuted_images_have_permuted_neighbours(self):
        images, training, order = draw_images(17, 1), draw_images(20, 2), torch.randperm(17)
        found, permuted = (nearest_training_images(each, training) for each in (images, images[order]))
        assert permuted.indices.equal(found.indices[order])
        assert permuted.distances.equal(found.distances[order])

    @pytest.mark.usefixtures("small_blocks")
    def test_permuted_training_images_are_found_where_they_went(self):
        images, training, order = draw_images(17, 1), draw_images(20, 2), torch.randperm(20)
        found, permuted = (nearest_training_images(images, each) for each in (training, training[order]))
        assert order[permuted.indices].equal(found.indices)
        assert permuted.distances.equal(found.distances)

    @given(st.integers(1, 19))
    def test_more_training_images_are_never_farther(self, num: int):
        images, training = draw_images(6, 1), draw_images(20, 2)
        few, all_ = (nearest_training_images(images, each).distances for each in (training[:num], training))
        assert bool((all_ <= few).all())

    def test_one_step_of_one_pixel_in_a_bright_image_is_not_rounded_away(self):
        """Squared norms near 8e8, a difference of 1: float32 cannot tell them apart."""
        training = torch.full((2, 64, 64, 3), 255, dtype=torch.uint8)
        training[0, 40, 50, 1] = 253
        image = training[1:].clone()
        image[0, 40, 50, 1] = 254
        image[0, 0, 0, 0] = 254
        found = nearest_training_images(image, training)
        assert found.indices.tolist() == [0]
        assert float(found.distances) == pytest.approx((2 / 12288) ** 0.5 / 255, rel=1e-12)

    def test_the_unit(self):
        black = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
        assert nearest_training_images(255 - black, black).distances.tolist() == [1.0]
        assert nearest_training_images(51 + black, black).distances.tolist() == pytest.approx([0.2])

    def test_progress_counts_images(self):
        stream = io.StringIO()
        nearest_training_images(draw_images(3), draw_images(4), progress=LineProgress(stream))
        assert stream.getvalue().startswith("nearest training images: 3 images in ")

    @pytest.mark.parametrize(
        ("images", "training", "message"),
        [
            (torch.zeros(2, 8, 8, 3), draw_images(2), r"images must be .* not \(2, 8, 8, 3\) torch.float32"),
            (draw_images(2), draw_images(2)[0], r"training images must be .* not \(20, 13, 3\) torch.uint8"),
            (draw_images(0), draw_images(2), "no images to compare; give at least one"),
            (draw_images(2), draw_images(0), "no training images to compare; give at least one"),
            (draw_images(2), draw_images(2, 0, 8, 9), "images are 13x20 but the training images 9x8; give"),
        ],
    )
    def test_messages(self, images: Tensor, training: Tensor, message: str):
        with pytest.raises(MxqvaeError, match=message):
            nearest_training_images(images, training)
