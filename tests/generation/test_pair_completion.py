import numpy as np
import pytest

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.completion import CompletionConfig
from mxqvae.generation.pair_completion import complete_pair
from mxqvae.generation.pipeline import PairGenerator

SMALL = CompletionConfig(num_captions=2, num_images=2, num_attempts=1, num_rounds=1)


@pytest.fixture
def image(caption_mnist_small) -> np.ndarray:
    """The first test image."""
    return PairDataset.from_parquet(caption_mnist_small, "test").images[0].numpy()


def test_given_pixels_and_words_stay(tiny_generator: PairGenerator, image: np.ndarray):
    hide = np.zeros((64, 64), bool)
    hide[:30] = True
    found = complete_pair(tiny_generator, image, "This is [MASK] 7.", hide, num_answers=2, config=SMALL)
    assert found.images.shape == (2, 64, 64, 3)
    assert found.images.dtype == np.uint8
    assert (found.images[:, 30:] == image[30:]).all()
    assert all(caption.startswith("This is ") and caption.endswith(" 7.") for caption in found.captions)
    assert (np.diff(found.bits) >= 0).all()


def test_images_and_masks_of_any_size_are_cut_and_resized(tiny_generator: PairGenerator, image: np.ndarray):
    wide = np.pad(image, ((0, 0), (32, 32), (0, 0)))
    hide = np.zeros(wide.shape[:2], bool)
    hide[:, :64] = True  # the left half of the square in the middle
    found = complete_pair(tiny_generator, wide, hide=hide, num_answers=1, config=SMALL)
    assert (found.images[0][:, 32:] == image[:, 32:]).all()


def test_a_caption_alone(tiny_generator: PairGenerator):
    found = complete_pair(tiny_generator, caption="This is red 7.", num_answers=1, seed=3, config=SMALL)
    assert found.captions == ["This is red 7."]
    again = complete_pair(tiny_generator, caption="This is red 7.", num_answers=2, seed=3, config=SMALL)
    assert any((image == found.images[0]).all() for image in again.images)


def test_messages(tiny_generator: PairGenerator, image: np.ndarray):
    everything = np.ones((64, 64), bool)
    for given, hide, message in (
        (None, everything, "hide hides pixels of an image; give the image"),
        (None, None, "nothing of the pair is given"),
        (image[..., 0], None, r"an image must be \(height, width, 3\) uint8, got \(64, 64\) uint8"),
        (image / 255, None, "uint8, got .* float64"),
        (image, everything[:8], r"hide must be \(64, 64\) bool.*got \(8, 64\)"),
        (image, everything.astype(float), "hide must be .* bool.* float64"),
    ):
        with pytest.raises(MxqvaeError, match=message):
            complete_pair(tiny_generator, given, hide=hide, config=SMALL)
