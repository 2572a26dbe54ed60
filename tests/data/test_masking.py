import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mxqvae.data.masking import MaskingConfig, mask_patches, mask_words
from mxqvae.data.tokenizer import CaptionTokenizer

PAD, MASK = CaptionTokenizer.pad_id, CaptionTokenizer.mask_id
WORDS = range(CaptionTokenizer.end_id + 1, 9)
hundredths = st.integers(0, 100)


def mask(token_ids: torch.Tensor, word_share: float, random_word_share: float, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    masking = MaskingConfig(word_share=word_share, random_word_share=random_word_share)
    return mask_words(token_ids, masking, WORDS.stop)


def mask_image(images: torch.Tensor, patch_size: int, share: float, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return mask_patches(images, patch_size, share)


def captions(lengths: list[int], width: int) -> torch.Tensor:
    """Captions of words that `WORDS` does not hold, so that a random word shows."""
    return torch.tensor([[20] * length + [PAD] * (width - length) for length in lengths])


def floor_of_share(percent: int, num: int) -> int:
    return math.floor(Fraction(percent, 100) * num)


class TestWords:
    @given(hundredths, hundredths, st.lists(st.integers(0, 150), min_size=1, max_size=5), st.integers(0, 9))
    def test_exactly_the_share_is_hidden_and_never_padding(
        self, percent: int, random_percent: int, lengths: list[int], seed: int
    ):
        token_ids = captions(lengths, 150)
        masked = mask(token_ids, percent / 100, random_percent / 100, seed)
        changed = masked != token_ids
        assert not changed[token_ids == PAD].any()
        assert changed.sum(1).tolist() == [floor_of_share(percent, length) for length in lengths]
        assert set(masked[changed].tolist()) <= {MASK, *WORDS}

    @pytest.mark.parametrize(("random_share", "allowed"), [(0.0, {MASK}), (1.0, {*WORDS})])
    def test_all_or_none_of_the_hidden_words_are_random(self, random_share: float, allowed: set[int]):
        token_ids = captions([300], 300)
        masked = mask(token_ids, 0.9, random_share)
        assert set(masked[masked != token_ids].tolist()) == allowed

    def test_random_words_take_their_share(self):
        token_ids = captions([10_000], 10_000)
        masked = mask(token_ids, 0.5, 0.4)
        assert int((masked == MASK).sum()) / 5_000 == pytest.approx(0.6, abs=0.03)

    def test_every_word_is_hidden_equally_often(self):
        token_ids = captions([10] * 10_000, 12)
        masked = mask(token_ids, 0.3, 0.0)
        shares = (masked == MASK).float().mean(0)
        torch.testing.assert_close(shares[:10], torch.full((10,), 0.3), rtol=0, atol=0.02)

    def test_unknown_words_stay_unknown(self):
        token_ids = torch.full((50, 8), MASK)
        masked = mask(token_ids, 0.5, 1.0)
        assert masked.equal(token_ids)

    def test_the_input_stays_as_it_was(self):
        token_ids = captions([8], 8)
        mask(token_ids, 1.0, 0.5)
        assert token_ids.equal(captions([8], 8))


class TestPatches:
    @given(hundredths, st.sampled_from([(2, 4, 6), (8, 8, 8), (1, 5, 7), (4, 4, 100)]), st.integers(0, 9))
    def test_exactly_the_share_is_hidden_patch_by_patch(
        self, percent: int, sizes: tuple[int, int, int], seed: int
    ):
        patch_size, num_down, num_across = sizes
        images = torch.ones(2, 3, num_down * patch_size, num_across * patch_size)
        masked = mask_image(images, patch_size, percent / 100, seed)
        hidden = masked == 0
        assert hidden.logical_or(masked == 1).all()
        patches = hidden.unflatten(3, (num_across, patch_size)).unflatten(2, (num_down, patch_size))
        per_patch = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).float().mean(-1)
        assert set(per_patch.unique().tolist()) <= {0.0, 1.0}
        expected = floor_of_share(percent, num_down * num_across)
        assert per_patch.sum((1, 2)).tolist() == [expected, expected]

    def test_images_are_masked_each_in_its_own_way(self):
        masked = mask_image(torch.ones(8, 1, 32, 32), 4, 0.5)
        assert len({tuple(image.flatten().tolist()) for image in masked}) == 8

    def test_every_patch_is_hidden_equally_often(self):
        masked = mask_image(torch.ones(10_000, 1, 4, 4), 1, 0.3)
        shares = (masked == 0).float().mean(0).flatten()
        torch.testing.assert_close(shares, torch.full((16,), 4 / 16), rtol=0, atol=0.02)

    def test_the_input_stays_as_it_was(self):
        images = torch.ones(2, 3, 8, 8)
        mask_patches(images, 2, 1.0)
        assert images.equal(torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize("field", ["patch_share", "word_share", "random_word_share"])
@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_lie_between_0_and_1(field: str, share: float):
    with pytest.raises(ValidationError):
        MaskingConfig(**{field: share})
