import math
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import image_quality
from mxqvae.evaluation.frechet import frechet_distance
from mxqvae.evaluation.image_features import ImageFeatures
from mxqvae.evaluation.image_quality import measure_image_quality, psnr, ssim


def draw_images(num: int, size: int = 24, seed: int = 0) -> Tensor:
    """Images (num, 3, size, size) of smooth colours, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, 3, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def disturb(images: Tensor, amount: float) -> Tensor:
    return (images + amount * torch.randn(images.shape)).clamp(0, 1)


def bytes_of(images: Tensor) -> Tensor:
    return (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1)


class TestPSNR:
    @pytest.mark.parametrize("amount", [0.01, 0.3])
    def test_it_is_scikit_images(self, amount: float):
        first = draw_images(3)
        second = disturb(first, amount)
        expected = [
            peak_signal_noise_ratio(x.double().numpy(), y.double().numpy(), data_range=1)
            for x, y in zip(first, second, strict=True)
        ]
        assert psnr(first, second).tolist() == pytest.approx(expected, rel=1e-9)

    def test_equal_images_have_what_bytes_can_tell(self):
        images = draw_images(2)
        assert psnr(images, images).tolist() == pytest.approx([20 * math.log10(255 * math.sqrt(12))] * 2)


class TestSSIM:
    @pytest.mark.parametrize("amount", [0.01, 0.3])
    @pytest.mark.parametrize("size", [11, 24])
    def test_it_is_scikit_images(self, size: int, amount: float):
        first = draw_images(3, size)
        second = disturb(first, amount)
        expected = [
            structural_similarity(
                x.double().numpy(),
                y.double().numpy(),
                data_range=1,
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for x, y in zip(first, second, strict=True)
        ]
        assert ssim(first, second).tolist() == pytest.approx(expected, abs=1e-9)

    def test_equal_images_have_one(self):
        images = draw_images(2)
        assert ssim(images, images).tolist() == pytest.approx([1, 1], abs=1e-12)

    def test_an_image_beside_its_negative_has_less_than_nothing(self):
        images = disturb(draw_images(2), 0.2)
        assert (ssim(images, 1 - images) < 0).all()

    def test_the_window_has_to_fit(self):
        with pytest.raises(MxqvaeError, match="11 x 11 pixels or more, not 10 x 10"):
            ssim(draw_images(1, 10), draw_images(1, 10))


class TestMeasure:
    def test_figures_are_means_over_images_and_distances_of_sets(self, mean_colour: ImageFeatures):
        first = draw_images(5)
        real, back = bytes_of(first), bytes_of(disturb(first, 0.1))
        sampled = bytes_of(draw_images(4, 16, seed=1))  # of another size
        score = measure_image_quality(real, back, mean_colour, sampled)
        floats = [images.permute(0, 3, 1, 2).float() / 255 for images in (real, back)]
        assert score.psnr == pytest.approx(float(psnr(*floats).mean()))
        assert score.ssim == pytest.approx(float(ssim(*floats).mean()))
        assert (score.num_images, score.feature_space) == (5, "mean colour")
        for found, others in ((score.reconstructed, back), (score.samples, sampled)):
            features = [mean_colour.extract(images, "") for images in (real, others)]
            assert found is not None
            assert found.frechet_distance == frechet_distance(*features)
            assert (found.num_images, found.num_real) == (len(others), 5)

    def test_neither_batches_nor_order_matter(
        self, mean_colour: ImageFeatures, monkeypatch: pytest.MonkeyPatch
    ):
        first = draw_images(5)
        real, back = bytes_of(first), bytes_of(disturb(first, 0.1))
        expected = asdict(measure_image_quality(real, back, mean_colour))
        monkeypatch.setattr(image_quality, "IMAGES_AT_A_TIME", 2)
        score = asdict(measure_image_quality(real.flip(0), back.flip(0), mean_colour))
        assert score.pop("reconstructed") == pytest.approx(expected.pop("reconstructed"))
        assert score == pytest.approx(expected)
        assert score["samples"] is None

    def test_what_comes_back_whole_is_perfect(self, mean_colour: ImageFeatures):
        images = bytes_of(draw_images(4))
        score = measure_image_quality(images, images, mean_colour)
        assert (score.ssim, score.reconstructed.frechet_distance) == pytest.approx((1, 0), abs=1e-6)

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda images: images[:1], r"came back as \(1, 24, 24, 3\); give a model"),
            (lambda images: images[:, ::2], r"came back as \(3, 12, 24, 3\); give a model"),
        ],
    )
    def test_both_sets_need_one_shape(
        self, mean_colour: ImageFeatures, change: Callable[[Tensor], Tensor], complaint: str
    ):
        images = bytes_of(draw_images(3))
        with pytest.raises(MxqvaeError, match=complaint):
            measure_image_quality(images, change(images), mean_colour)
