from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mxqvae.autoencoder.image import ImageConfig, normalise
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import AttentiveTextConfig, ConvolutionalTextConfig
from mxqvae.autoencoder.unimodal import (
    CaptionTokens,
    CaptionTokensConfig,
    ImageVQVAE,
    ImageVQVAEConfig,
    TextVQVAE,
    TextVQVAEConfig,
)
from mxqvae.data.batch import PairBatch
from mxqvae.data.caption_grammar import compose_caption
from mxqvae.data.caption_mnist import draw_pairs
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.layers.transformer import TransformerConfig

AVERAGING = QuantizerConfig(num_codes=32, code_size=8, average_decay=0.9, reset_below=0.02)
IMAGE = ImageVQVAEConfig(
    latent_size=16,
    image=ImageConfig(image_size=32, strides=(4, 2), widths=(8, 16), num_residual_blocks=1),
    quantizer=AVERAGING,
)
LAYERS = TransformerConfig(num_layers=1, width=32, num_heads=4)


def captions(num: int) -> list[str]:
    pairs = draw_pairs(np.arange(10), "train", 0, first=0, num=num)
    return [compose_caption(pair.clauses) for pair in pairs]


def text_config(tokenizer: CaptionTokenizer, **changes: Any) -> TextVQVAEConfig:
    return TextVQVAEConfig(
        **{
            "vocab_size": tokenizer.vocab_size,
            "caption_length": tokenizer.max_length,
            "latent_size": 16,
            "text": AttentiveTextConfig(num_latents=8, encoder=LAYERS, decoder=LAYERS),
            "quantizer": AVERAGING,
            **changes,
        }
    )


@pytest.fixture
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train(captions(200), 40)


def batch_of(token_ids: torch.Tensor) -> PairBatch:
    return PairBatch(torch.rand(len(token_ids), 3, 32, 32), token_ids)


def learn(part: ImageVQVAE | TextVQVAE, batch: PairBatch, num_steps: int) -> None:
    optimizer = torch.optim.AdamW(part.parameters(), lr=1e-2)
    for _ in range(num_steps):
        optimizer.zero_grad()
        part.loss(batch).total.backward()
        optimizer.step()
    part.eval()


class TestImageVQVAE:
    def test_shapes_and_ranges(self):
        part = ImageVQVAE(IMAGE).eval()
        indices = part.encode(batch_of(torch.zeros(3, 4, dtype=torch.int64)))
        assert (IMAGE.segment.modality, IMAGE.segment.length, IMAGE.segment.num_codes) == ("image", 16, 32)
        assert indices.shape == (3, 16)
        assert 0 <= int(indices.min()) <= int(indices.max()) < 32
        images = part.decode(torch.randint(32, (3, 16)))
        assert images.shape == (3, 3, 32, 32)
        assert 0 <= float(images.min()) <= float(images.max()) <= 1

    def test_the_loss_is_that_of_the_images_alone(self):
        batch = batch_of(torch.randint(4, 9, (4, 6)))
        part = ImageVQVAE(IMAGE).eval()
        losses = part.loss(batch)
        decoded = part.decoder(part.quantize(normalise(batch.images)).codes)
        torch.testing.assert_close(losses.image, (decoded - normalise(batch.images)).square().mean())
        torch.testing.assert_close(losses.total, losses.image + 0.25 * losses.commitment)
        assert losses.usage.sum() == 4 * 16
        assert part.loss(PairBatch(batch.images, batch.token_ids + 1)).total.equal(losses.total)

    def test_a_few_images_are_soon_known(self):
        batch = batch_of(torch.zeros(4, 1, dtype=torch.int64))
        # One colour to each quadrant, as a latent may say it.
        batch = batch._replace(images=nn.functional.interpolate(torch.rand(4, 3, 2, 2), scale_factor=16))
        part = ImageVQVAE(IMAGE)
        learn(part, batch, 150)
        error = (part.decode(part.encode(batch)) - batch.images).abs().mean()
        spread = (batch.images - batch.images.mean((0, 2, 3), keepdim=True)).abs().mean()
        assert error < 0.4 * spread


class TestTextVQVAE:
    @pytest.mark.parametrize(
        "text",
        [
            AttentiveTextConfig(num_latents=8, encoder=LAYERS, decoder=LAYERS),
            ConvolutionalTextConfig(num_latents=8, widths=(8, 12, 16)),
        ],
    )
    def test_shapes_and_ranges(self, tokenizer: CaptionTokenizer, text: Any):
        config = text_config(tokenizer, text=text)
        part = TextVQVAE(config).eval()
        indices = part.encode(batch_of(tokenizer.encode(captions(3))))
        assert (config.segment.modality, config.segment.length, config.segment.num_codes) == ("text", 8, 32)
        assert indices.shape == (3, 8)
        assert 0 <= int(indices.min()) <= int(indices.max()) < 32
        token_ids = part.decode(torch.randint(32, (3, 8)))
        assert token_ids.shape == (3, 40)
        assert 0 <= int(token_ids.min()) <= int(token_ids.max()) < tokenizer.vocab_size

    def test_the_loss_is_that_of_the_captions_alone(self, tokenizer: CaptionTokenizer):
        batch = batch_of(tokenizer.encode(captions(4)))
        part = TextVQVAE(text_config(tokenizer)).eval()
        losses = part.loss(batch)
        torch.testing.assert_close(losses.total, losses.caption + 0.25 * losses.commitment)
        assert (float(losses.image), int(losses.usage.sum())) == (0, 4 * 8)
        assert part.loss(batch._replace(images=1 - batch.images)).total.equal(losses.total)

    def test_a_few_captions_are_soon_known_by_8_codes(self, tokenizer: CaptionTokenizer):
        written = captions(6)
        batch = batch_of(tokenizer.encode(written))
        part = TextVQVAE(text_config(tokenizer))
        learn(part, batch, 200)
        assert tokenizer.decode(part.decode(part.encode(batch))) == written

    def test_a_decoded_caption_is_padded_past_its_first_end(
        self, tokenizer: CaptionTokenizer, monkeypatch: pytest.MonkeyPatch
    ):
        part = TextVQVAE(text_config(tokenizer)).eval()
        guesses = torch.tensor([[5, 3, 7, 3] + [6] * 36])
        monkeypatch.setattr(part.decoder, "forward", lambda codes: nn.functional.one_hot(guesses, 12))
        assert part.decode(torch.randint(32, (1, 8))).tolist() == [[5, 3] + [0] * 38]

    def test_latents_that_do_not_fit_the_caption_are_refused(self, tokenizer: CaptionTokenizer):
        with pytest.raises(ValidationError, match="captions of 40 words cannot be divided among 7 latents"):
            text_config(tokenizer, text=AttentiveTextConfig(num_latents=7))


class TestCaptionTokens:
    @pytest.fixture
    def part(self, tokenizer: CaptionTokenizer) -> CaptionTokens:
        return CaptionTokens(CaptionTokensConfig(vocab_size=tokenizer.vocab_size, caption_length=40))

    def test_captions_come_back_word_for_word(self, part: CaptionTokens, tokenizer: CaptionTokenizer):
        written = captions(50)
        token_ids = tokenizer.encode(written)
        assert part.encode(batch_of(token_ids)).equal(token_ids)
        assert part.decode(token_ids).equal(token_ids)
        assert tokenizer.decode(part.decode(part.encode(batch_of(token_ids)))) == written

    def test_words_past_the_end_are_dropped(self, part: CaptionTokens):
        assert part.decode(torch.tensor([[5, 3, 7, 3, 0, 8]])).tolist() == [[5, 3, 0, 0, 0, 0]]

    def test_there_is_nothing_to_learn(self, part: CaptionTokens, tokenizer: CaptionTokenizer):
        losses = part.loss(batch_of(tokenizer.encode(captions(4))))
        assert [float(value) for value in losses[:-1]] == [0, 0, 0, 0, 0, 0, 1]
        assert (len(losses.usage), int(losses.usage.sum())) == (tokenizer.vocab_size, 4 * 40)
        assert list(part.parameters()) == []

    def test_its_segment(self, part: CaptionTokens, tokenizer: CaptionTokenizer):
        segment = part.config.segment
        assert (segment.modality, segment.length) == ("text", 40)
        assert segment.num_codes == tokenizer.vocab_size
