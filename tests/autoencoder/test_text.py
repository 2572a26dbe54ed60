from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.text import (
    ConvolutionalTextConfig,
    TextConfig,
    build_text_decoder,
    build_text_encoder,
    caption_loss,
    pad_past_end,
    share_right,
)

KINDS = pytest.mark.parametrize("kind", get_args(get_args(TextConfig)[0]))
LENGTH, VOCAB_SIZE, LATENT_SIZE, NUM_CODES = 40, 31, 16, 24
MASK = 2


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def encoder_of(kind: Any, **changes: Any) -> nn.Module:
    return build_text_encoder(kind(**changes), LENGTH, VOCAB_SIZE, LATENT_SIZE).eval()


def decoder_of(kind: Any, **changes: Any) -> nn.Module:
    return build_text_decoder(kind(**changes), LENGTH, VOCAB_SIZE, LATENT_SIZE, NUM_CODES).eval()


@KINDS
@pytest.mark.parametrize("num_latents", [4, 8, 20])
def test_shapes(kind: Any, num_latents: int):
    token_ids = torch.randint(VOCAB_SIZE, (3, LENGTH))
    assert encoder_of(kind, num_latents=num_latents)(token_ids).shape == (3, num_latents, LATENT_SIZE)
    codes = torch.randn(3, NUM_CODES, LATENT_SIZE)
    assert decoder_of(kind, num_latents=num_latents)(codes).shape == (3, LENGTH, VOCAB_SIZE)


@KINDS
def test_every_word_reaches_the_latents(kind: Any):
    encoder = encoder_of(kind)
    token_ids = torch.full((1, LENGTH), 5)
    changed = token_ids.repeat(LENGTH, 1)
    changed[range(LENGTH), range(LENGTH)] = 6
    with torch.no_grad():
        moved = (encoder(changed) - encoder(token_ids)).abs().amax((1, 2))
    assert (moved > 0).all()


@KINDS
def test_every_code_reaches_the_words(kind: Any):
    decoder = decoder_of(kind)
    codes = torch.randn(1, NUM_CODES, LATENT_SIZE)
    changed = codes.repeat(NUM_CODES, 1, 1)
    changed[range(NUM_CODES), range(NUM_CODES)] = torch.randn(NUM_CODES, LATENT_SIZE)
    with torch.no_grad():
        moved = (decoder(changed) - decoder(codes)).abs().amax((1, 2))
    assert (moved > 0).all()


@KINDS
def test_captions_do_not_meet_in_a_batch(kind: Any):
    encoder = encoder_of(kind)
    token_ids = torch.randint(VOCAB_SIZE, (4, LENGTH))
    torch.testing.assert_close(encoder(token_ids)[1:2], encoder(token_ids[1:2]))


@KINDS
def test_latents_that_do_not_fit_the_caption_are_refused(kind: Any):
    with pytest.raises(ValidationError, match="captions of 40 words cannot"):
        MXQVAEConfig(vocab_size=VOCAB_SIZE, caption_length=LENGTH, text=kind(num_latents=39))


@pytest.mark.parametrize("widths", [(8,), (), (8, 0, 8)])
def test_widths_without_a_convolution_or_channels_are_refused(widths: tuple[int, ...]):
    with pytest.raises(ValidationError, match="widths"):
        ConvolutionalTextConfig(widths=widths)


class TestConvolutional:
    def test_the_paper_s_kernels(self):
        lengths = {(64, 8): 15, (68, 16): 14, (80, 20): 16}
        for (length, num_latents), kernel_size in lengths.items():
            assert ConvolutionalTextConfig(num_latents=num_latents).kernel_size(length) == kernel_size

    def test_the_paper_s_sizes(self):
        config = ConvolutionalTextConfig()
        encoder = build_text_encoder(config, 64, 30_522, 128)
        decoder = build_text_decoder(config, 64, 30_522, 128, 72)
        embedding = 30_522 * 128
        assert num_parameters(encoder) - embedding == pytest.approx(6.76e6, rel=0.01)
        assert num_parameters(decoder) == pytest.approx(11.2e6, rel=0.01)

    def test_a_latent_sees_its_own_stretch_of_words(self):
        """Four valid convolutions of kernel k: latent i reads words i to i + 4 (k - 1)."""
        encoder = encoder_of(ConvolutionalTextConfig, num_latents=20)
        token_ids = torch.full((1, LENGTH), 5)
        changed = token_ids.clone()
        changed[0, 25] = 6
        moved = (encoder(changed) - encoder(token_ids)).abs().sum(-1)[0] > 0
        assert moved.nonzero().flatten().tolist() == [*range(25 - 20, 20)]

    def test_padding_starts_at_zero(self):
        encoder = encoder_of(ConvolutionalTextConfig)
        assert isinstance(encoder.embedding, nn.Embedding)
        assert not encoder.embedding.weight[0].any()


class TestCaptionLoss:
    def test_it_is_the_mean_over_words_that_are_there(self):
        logits = torch.randn(2, 5, VOCAB_SIZE)
        token_ids = torch.tensor([[4, 7, 3, 0, 0], [9, 3, 0, 0, 0]])
        surprise = -F.log_softmax(logits, -1)
        expected = (surprise[0, 0, 4] + surprise[0, 1, 7] + surprise[0, 2, 3] + surprise[1, 0, 9]) / 5
        expected = expected + surprise[1, 1, 3] / 5
        torch.testing.assert_close(caption_loss(logits, token_ids), expected)

    def test_padding_does_not_matter(self):
        logits = torch.randn(1, 5, VOCAB_SIZE)
        token_ids = torch.tensor([[4, 3, 0, 0, 0]])
        changed = logits.clone()
        changed[:, 2:] = torch.randn(1, 3, VOCAB_SIZE)
        assert caption_loss(logits, token_ids).equal(caption_loss(changed, token_ids))

    def test_words_that_are_not_known_do_not_matter(self):
        logits = torch.randn(2, 3, VOCAB_SIZE)
        token_ids = torch.tensor([[4, MASK, 3], [MASK, MASK, MASK]])
        expected = -F.log_softmax(logits[0], -1)[[0, 2], [4, 3]].mean()
        torch.testing.assert_close(caption_loss(logits, token_ids), expected)

    def test_a_batch_without_captions_teaches_nothing(self):
        logits = torch.randn(2, 3, VOCAB_SIZE, requires_grad=True)
        loss = caption_loss(logits, torch.full((2, 3), MASK))
        loss.backward()
        assert float(loss.detach()) == 0
        assert logits.grad is not None
        assert not logits.grad.any()


def test_the_share_of_words_right_leaves_padding_and_unknown_words_out():
    token_ids = torch.tensor([[5, 7, 3, 0], [9, 3, 0, 0], [MASK, MASK, MASK, MASK]])
    logits = F.one_hot(torch.tensor([[5, 8, 3, 3], [9, 3, 3, 0], [MASK, 5, 5, 5]]), 12)
    assert float(share_right(logits, token_ids)) == pytest.approx(4 / 5)


def test_all_that_follows_the_first_end_is_padded():
    token_ids = torch.tensor([[5, 3, 7, 3], [5, 6, 7, 8], [3, 3, 0, 5], [5, 6, 3, 0]])
    expected = [[5, 3, 0, 0], [5, 6, 7, 8], [3, 0, 0, 0], [5, 6, 3, 0]]
    assert pad_past_end(token_ids).tolist() == expected
    assert pad_past_end(pad_past_end(token_ids)).tolist() == expected
