"""Stage 1: MXQ-VAE, a masked pair -> one code sequence -> the whole pair.

B batch, H and W pixels, L words, H'·W' image latents, L' text latents, T = H'·W' + L' all of them,
D channels, K codes.
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
from mxqvae.autoencoder.losses import AutoencoderLosses, codebook_figures, mean_losses, total_losses
from mxqvae.autoencoder.perceptual import perceptual_loss
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
from mxqvae.data.masking import MaskingConfig, mask_patches, mask_words
from mxqvae.layers.transformer import Transformer, TransformerConfig


@configuration
class MXQVAEConfig:
    """The autoencoder; the defaults are the paper's sizes (official code, 64-pixel model)."""

    name: Literal["mxqvae"] = "mxqvae"
    """Tells the kinds of stage 1 apart in a config file."""
    vocab_size: Annotated[int, Field(ge=5)]
    """Token ids V, the special ones among them."""
    caption_length: Annotated[int, Field(ge=1)] = 64
    """Words L of a padded caption."""
    latent_size: Annotated[int, Field(ge=1)] = 128
    """Channels of a latent in the joint encoder."""
    image: ImageConfig = ImageConfig()
    """Image encoder and decoder."""
    text: TextConfig = ConvolutionalTextConfig()
    """Text encoder and decoder."""
    joint: TransformerConfig | None = TransformerConfig(
        num_layers=4, width=128, num_heads=2, dropout=0.1, norm_first=False
    )
    """Cross-modal transformer encoder; none: the row "without TC" of Table 1."""
    joint_positions: bool = False
    """Whether latents carry a learned position into the joint encoder."""
    quantizer: QuantizerConfig = QuantizerConfig()
    """The shared codebook."""
    identity_mixing: bool = False
    """Whether each image position starts by reading little but its own code, not a random mix of all."""
    masking: MaskingConfig | None = MaskingConfig()
    """What the encoder does not see in training; none: the row "without IM" of Table 1."""
    commitment_weight: Annotated[float, Field(ge=0)] = 0.25
    """Weight of the commitment loss."""
    perceptual_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the perceptual loss, see `perceptual`; 0: the paper's loss, which has none."""

    def __post_init__(self) -> None:
        if self.joint is not None and self.joint.width != self.latent_size:
            raise ValueError(f"joint.width {self.joint.width} differs from latent_size {self.latent_size}")
        if self.joint is None and self.joint_positions:
            raise ValueError("joint_positions needs the joint encoder, which alone reads them")
        check_caption_length(self.text, self.caption_length)

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        return self.image.image_size

    @property
    def num_image_codes(self) -> int:
        """Codes that stand for the image, H'·W'; they come first, in row-major order."""
        return self.image.grid_size**2

    @property
    def sequence_length(self) -> int:
        """Codes T of a pair."""
        return self.num_image_codes + self.text.num_latents

    @property
    def num_codes(self) -> int:
        """Codes K that the prior chooses from."""
        return self.quantizer.num_codes

    @property
    def segments(self) -> tuple[Segment, ...]:
        """None: the one codebook is everywhere."""
        return ()


class MXQVAE(nn.Module):
    """Multimodal cross quantizer: modalities meet before one codebook, and both decoders read all codes."""

    def __init__(self, config: MXQVAEConfig) -> None:
        super().__init__()
        self.config = config
        size, length, text = config.latent_size, config.caption_length, config.text
        code_size = config.quantizer.code_size
        self.image_encoder = ImageEncoder(config.image, size)
        self.text_encoder = build_text_encoder(text, length, config.vocab_size, size)
        positions = torch.randn(config.sequence_length, size) * 0.1
        self.joint_positions = nn.Parameter(positions) if config.joint_positions else None
        self.joint_encoder = Transformer(config.joint) if config.joint is not None else nn.Identity()
        self.projection = nn.Linear(size, code_size) if size != code_size else nn.Identity()
        start_shares = _equal_shares(config.num_image_codes, text.num_latents)
        self.quantizer = build_quantizer(config.quantizer, start_shares)
        self.image_mixing = nn.Linear(config.sequence_length, config.num_image_codes)
        if config.identity_mixing:
            nn.init.normal_(self.image_mixing.weight, std=0.01)
            self.image_mixing.weight.data += torch.eye(config.num_image_codes, config.sequence_length)
        self.image_decoder = ImageDecoder(config.image, code_size)
        self.text_decoder = build_text_decoder(
            text, length, config.vocab_size, code_size, config.sequence_length
        )

    def loss(self, batch: PairBatch) -> AutoencoderLosses:
        """The losses of a batch whose inputs are masked as configured; targets are unmasked."""
        quantized = self.quantize(self._mask(batch))
        logits = self.decode_captions(quantized.codes)
        images, weight = self.decode_images(quantized.codes), self.config.perceptual_weight
        return total_losses(
            quantized,
            self.config.num_codes,
            self.config.commitment_weight,
            image=image_loss(images, batch.images),
            caption=caption_loss(logits, batch.token_ids),
            words_right=share_right(logits, batch.token_ids),
            perceptual=perceptual_loss(images, batch.images) if weight else None,
            perceptual_weight=weight,
        )

    def summarise(self, sums: AutoencoderLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return mean_losses(sums, num_steps) | codebook_figures(sums.usage)

    def quantize(self, batch: PairBatch) -> Quantized:
        """The codes (B, T, D) of pairs whose images are normalised: encoders, joint encoder, codebook."""
        return self.quantize_latents(self.image_encoder(batch.images), self.text_encoder(batch.token_ids))

    def quantize_latents(self, image_latents: Tensor, text_latents: Tensor) -> Quantized:
        """The codes (B, T, D) of what the encoders made of images (B, H'·W', D) and captions (B, L', D)."""
        latents = torch.cat([image_latents, text_latents], dim=1)
        if self.joint_positions is not None:
            latents = latents + self.joint_positions
        return self.quantizer(self.projection(self.joint_encoder(latents)))

    @torch.no_grad()
    def encode(self, batch: PairBatch) -> Tensor:
        """Indices (B, T) of pairs, nothing masked but what is unknown; call in eval mode."""
        return self.quantize(PairBatch(hide_unknown(normalise(batch.images)), batch.token_ids)).indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> PairBatch:
        """Pairs of `indices` (B, T), each in [0, K): images in [0, 1], likeliest words to the first [END]."""
        codes = self.quantizer.lookup(indices)
        token_ids = pad_past_end(self.decode_captions(codes).argmax(-1))
        return PairBatch(denormalise(self.decode_images(codes)), token_ids)

    def decode_images(self, codes: Tensor) -> Tensor:
        """All `codes` of a pair (B, T, D) -> normalised images (B, 3, H, W)."""
        return self.image_decoder(self.image_mixing(codes.transpose(1, 2)).transpose(1, 2))

    def decode_captions(self, codes: Tensor) -> Tensor:
        """All `codes` of a pair (B, T, D) -> logits (B, L, V)."""
        return self.text_decoder(codes)

    def _mask(self, batch: PairBatch) -> PairBatch:
        """The batch with its images normalised and its inputs masked as configured."""
        images, masking = hide_unknown(normalise(batch.images)), self.config.masking
        if masking is None:
            return PairBatch(images, batch.token_ids)
        return PairBatch(
            mask_patches(images, self.config.image.cell_size, masking.patch_share),
            mask_words(batch.token_ids, masking, self.config.vocab_size),
        )


def _equal_shares(num_image: int, num_text: int) -> Tensor:
    """Weights (T) by which codes start at image and text latents equally often.

    By mere number nine codes of ten would start at image latents, and captions would get 4 bits a code in
    place of 7.
    """
    return torch.cat([torch.full((num_image,), 1 / num_image), torch.full((num_text,), 1 / num_text)])
