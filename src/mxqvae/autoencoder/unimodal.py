"""Stage 1 of one modality: a half of a pair -> its codes -> the same half, the other half out of sight.

B batch, H and W pixels, L words, T codes of the half, K codes of its vocabulary.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.code_layout import Segment
from mxqvae.autoencoder.image import (
    ImageConfig,
    ImageDecoder,
    ImageEncoder,
    denormalise,
    hide_unknown,
    image_loss,
    normalise,
)
from mxqvae.autoencoder.losses import AutoencoderLosses, total_losses
from mxqvae.autoencoder.quantizer import Quantized, QuantizerConfig, build_quantizer
from mxqvae.autoencoder.text import (
    ConvolutionalTextConfig,
    TextConfig,
    build_text_decoder,
    build_text_encoder,
    caption_loss,
    check_caption_length,
    pad_past_end,
    share_right,
)
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch


@configuration
class ImageVQVAEConfig:
    """A VQ-VAE of images alone."""

    name: Literal["image-vqvae"] = "image-vqvae"
    """Tells the parts apart in a config file."""
    latent_size: Annotated[int, Field(ge=1)] = 128
    """Channels of a latent before it is projected to the codebook's."""
    image: ImageConfig = ImageConfig()
    """Encoder and decoder."""
    quantizer: QuantizerConfig = QuantizerConfig()
    """The codebook."""
    commitment_weight: Annotated[float, Field(ge=0)] = 0.25
    """Weight of the commitment loss."""

    @property
    def segment(self) -> Segment:
        """Its stretch of the code sequence."""
        return Segment(modality="image", length=self.image.grid_size**2, num_codes=self.quantizer.num_codes)


@configuration
class TextVQVAEConfig:
    """A VQ-VAE of captions alone."""

    name: Literal["text-vqvae"] = "text-vqvae"
    """Tells the parts apart in a config file."""
    vocab_size: Annotated[int, Field(ge=5)]
    """Token ids V, the special ones among them."""
    caption_length: Annotated[int, Field(ge=1)]
    """Words L of a padded caption."""
    latent_size: Annotated[int, Field(ge=1)] = 128
    """Channels of a latent before it is projected to the codebook's."""
    text: TextConfig = ConvolutionalTextConfig()
    """Encoder and decoder."""
    quantizer: QuantizerConfig = QuantizerConfig()
    """The codebook."""
    commitment_weight: Annotated[float, Field(ge=0)] = 0.25
    """Weight of the commitment loss."""

    def __post_init__(self) -> None:
        check_caption_length(self.text, self.caption_length)

    @property
    def segment(self) -> Segment:
        """Its stretch of the code sequence."""
        return Segment(modality="text", length=self.text.num_latents, num_codes=self.quantizer.num_codes)


@configuration
class CaptionTokensConfig:
    """Captions as they are: each token id is a code (as in DALL-E, Ramesh et al. 2021, section 2)."""

    name: Literal["caption-tokens"] = "caption-tokens"
    """Tells the parts apart in a config file."""
    vocab_size: Annotated[int, Field(ge=5)]
    """Token ids V, the special ones among them."""
    caption_length: Annotated[int, Field(ge=1)]
    """Words L of a padded caption."""

    @property
    def segment(self) -> Segment:
        """Its stretch of the code sequence."""
        return Segment(modality="text", length=self.caption_length, num_codes=self.vocab_size)


class _VQVAE(nn.Module):
    """An encoder, a projection, a codebook of its own and a decoder (van den Oord et al. 2017)."""

    def __init__(
        self, config: ImageVQVAEConfig | TextVQVAEConfig, encoder: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        size, code_size = config.latent_size, config.quantizer.code_size
        self.encoder = encoder
        self.projection = nn.Linear(size, code_size) if size != code_size else nn.Identity()
        self.quantizer = build_quantizer(config.quantizer, torch.ones(config.segment.length))
        self.decoder = decoder

    def quantize(self, inputs: Tensor) -> Quantized:
        """The codes (B, T, D) of what the encoder reads."""
        return self.quantizer(self.projection(self.encoder(inputs)))


class ImageVQVAE(_VQVAE):
    """Images to codes, row-major, and back."""

    def __init__(self, config: ImageVQVAEConfig) -> None:
        encoder = ImageEncoder(config.image, config.latent_size)
        super().__init__(config, encoder, ImageDecoder(config.image, config.quantizer.code_size))
        self.config = config

    def loss(self, batch: PairBatch) -> AutoencoderLosses:
        """The losses of a batch's images."""
        quantized = self.quantize(hide_unknown(normalise(batch.images)))
        return total_losses(
            quantized,
            self.config.quantizer.num_codes,
            self.config.commitment_weight,
            image=image_loss(self.decoder(quantized.codes), batch.images),
        )

    @torch.no_grad()
    def encode(self, batch: PairBatch) -> Tensor:
        """Indices (B, T) of a batch's images; call in eval mode."""
        return self.quantize(hide_unknown(normalise(batch.images))).indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] of `indices` (B, T), each in [0, K)."""
        return denormalise(self.decoder(self.quantizer.lookup(indices)))


class TextVQVAE(_VQVAE):
    """Captions to codes and back; the decoder reads no other codes than these."""

    def __init__(self, config: TextVQVAEConfig) -> None:
        text, length, vocab_size = config.text, config.caption_length, config.vocab_size
        encoder = build_text_encoder(text, length, vocab_size, config.latent_size)
        code_size = config.quantizer.code_size
        super().__init__(
            config, encoder, build_text_decoder(text, length, vocab_size, code_size, text.num_latents)
        )
        self.config = config

    def loss(self, batch: PairBatch) -> AutoencoderLosses:
        """The losses of a batch's captions."""
        quantized = self.quantize(batch.token_ids)
        logits = self.decoder(quantized.codes)
        return total_losses(
            quantized,
            self.config.quantizer.num_codes,
            self.config.commitment_weight,
            caption=caption_loss(logits, batch.token_ids),
            words_right=share_right(logits, batch.token_ids),
        )

    @torch.no_grad()
    def encode(self, batch: PairBatch) -> Tensor:
        """Indices (B, T) of a batch's captions; call in eval mode."""
        return self.quantize(batch.token_ids).indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Token ids (B, L) of `indices` (B, T), each in [0, K): the likeliest words to the first [END]."""
        return pad_past_end(self.decoder(self.quantizer.lookup(indices)).argmax(-1))


class CaptionTokens(nn.Module):
    """Captions as their own codes: nothing to learn, nothing lost."""

    def __init__(self, config: CaptionTokensConfig) -> None:
        super().__init__()
        self.config = config

    def loss(self, batch: PairBatch) -> AutoencoderLosses:
        """Zero, with every word right."""
        nothing = batch.images.new_zeros(())
        usage = torch.bincount(batch.token_ids.flatten(), minlength=self.config.vocab_size)
        return AutoencoderLosses(*[nothing] * 6, words_right=nothing + 1, usage=usage)

    def encode(self, batch: PairBatch) -> Tensor:
        """The token ids (B, L), padding and all."""
        return batch.token_ids

    def decode(self, indices: Tensor) -> Tensor:
        """The token ids (B, L) again, padded past the first [END]: a prior may draw words beyond it."""
        return pad_past_end(indices)
