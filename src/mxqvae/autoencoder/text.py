"""Text encoders and decoders: caption tokens <-> text latents. Two kinds, one job.

The paper's kind is convolutional. In the attentive kind words look at each other before a run of them becomes
a latent, and on the way back at all codes of the pair: it learns captions in a fraction of the steps.

B batch, L words of a caption, L' text latents, D channels of a latent, T all latents of a pair, V vocabulary.
"""

from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.layers.transformer import Transformer, TransformerConfig


@configuration
class ConvolutionalTextConfig:
    """The official code's text half."""

    name: Literal["convolutional"] = "convolutional"
    """Tells the two kinds apart in a config file."""
    num_latents: Annotated[int, Field(ge=1)] = 8
    """Text latents L'."""
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2)] = (
        128,
        224,
        320,
        416,
        512,
    )
    """Channels from the word embedding through the valid convolutions."""
    mixing_size: Annotated[int, Field(ge=1)] = 32
    """Hidden positions of the layer that mixes all latents of a pair into the text latents."""

    def kernel_size(self, length: int) -> int:
        """Words that each of the valid convolutions spans, so that L words become L' latents.

        Raises:
            ValueError: L words cannot become L' latents in equal steps.
        """
        steps = len(self.widths) - 1
        if length <= self.num_latents or (length - self.num_latents) % steps:
            raise ValueError(
                f"captions of {length} words cannot become {self.num_latents} latents in {steps} steps"
            )
        return (length - self.num_latents) // steps + 1


class ConvolutionalTextEncoder(nn.Module):
    """Word embedding, valid convolutions with ReLU, a projection; no positions (official code)."""

    def __init__(
        self, config: ConvolutionalTextConfig, length: int, vocab_size: int, latent_size: int
    ) -> None:
        super().__init__()
        kernel_size = config.kernel_size(length)
        self.embedding = nn.Embedding(vocab_size, config.widths[0], padding_idx=0)
        layers: list[nn.Module] = []
        for width, next_width in pairwise(config.widths):
            layers += [nn.Conv1d(width, next_width, kernel_size), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(config.widths[-1], latent_size, kernel_size=1))

    def forward(self, token_ids: Tensor) -> Tensor:
        """`token_ids` (B, L) -> latents (B, L', D)."""
        return self.layers(self.embedding(token_ids).transpose(1, 2)).transpose(1, 2)


class ConvolutionalTextDecoder(nn.Module):
    """Mixes all codes of a pair across positions, then the encoder's mirror image (official code)."""

    def __init__(
        self, config: ConvolutionalTextConfig, length: int, vocab_size: int, latent_size: int, num_codes: int
    ) -> None:
        super().__init__()
        kernel_size = config.kernel_size(length)
        self.mixing = nn.Sequential(
            nn.Linear(num_codes, config.mixing_size),
            nn.ReLU(),
            nn.Linear(config.mixing_size, config.num_latents),
        )
        widths = [latent_size, *config.widths[:0:-1]]
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths):
            layers += [nn.ConvTranspose1d(width, next_width, kernel_size), nn.ReLU()]
        layers += [nn.Conv1d(widths[-1], config.widths[0], kernel_size=1)]
        layers += [nn.Conv1d(config.widths[0], vocab_size, kernel_size=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """All `codes` of a pair (B, T, D) -> logits of every word at once (B, L, V)."""
        return self.layers(self.mixing(codes.transpose(1, 2))).transpose(1, 2)


@configuration
class AttentiveTextConfig:
    """Runs of words make latents and latents make runs of words; attention does the rest."""

    name: Literal["attentive"] = "attentive"
    """Tells the two kinds apart in a config file."""
    num_latents: Annotated[int, Field(ge=1)] = 8
    """Text latents L'; divides the caption length."""
    encoder: TransformerConfig = TransformerConfig(num_layers=2, width=96, num_heads=4)
    """Layers in which words look at each other."""
    decoder: TransformerConfig = TransformerConfig(num_layers=3, width=96, num_heads=4)
    """Layers in which words look at each other and at all codes of the pair."""

    def words_per_latent(self, length: int) -> int:
        """Consecutive words that make one latent.

        Raises:
            ValueError: `length` words cannot be divided among the latents.
        """
        if length % self.num_latents:
            raise ValueError(f"captions of {length} words cannot be divided among {self.num_latents} latents")
        return length // self.num_latents


class AttentiveTextEncoder(nn.Module):
    """Words with positions, self-attention, then one projection of each run of words to a latent."""

    def __init__(self, config: AttentiveTextConfig, length: int, vocab_size: int, latent_size: int) -> None:
        super().__init__()
        width = config.encoder.width
        self.words_per_latent = config.words_per_latent(length)
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Parameter(torch.randn(length, width))
        self.transformer = Transformer(config.encoder)
        self.projection = nn.Linear(self.words_per_latent * width, latent_size)

    def forward(self, token_ids: Tensor) -> Tensor:
        """`token_ids` (B, L) -> latents (B, L', D)."""
        words = self.transformer(self.embedding(token_ids) + self.positions)
        return self.projection(words.unflatten(1, (-1, self.words_per_latent)).flatten(2))


class AttentiveTextDecoder(nn.Module):
    """Each text code becomes a run of words, which then look at all codes of the pair; all words at once."""

    def __init__(
        self, config: AttentiveTextConfig, length: int, vocab_size: int, latent_size: int, num_codes: int
    ) -> None:
        super().__init__()
        width = config.decoder.width
        self.num_latents, self.words_per_latent = config.num_latents, config.words_per_latent(length)
        self.expansion = nn.Linear(latent_size, self.words_per_latent * width)
        self.positions = nn.Parameter(torch.randn(length, width))
        self.memory = nn.Sequential(nn.Linear(latent_size, width), nn.LayerNorm(width))
        self.memory_positions = nn.Parameter(torch.randn(num_codes, width))
        self.transformer = Transformer(config.decoder, reads_memory=True)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, codes: Tensor) -> Tensor:
        """All `codes` of a pair (B, T, D), the text's last -> logits of every word at once (B, L, V)."""
        runs = self.expansion(codes[:, -self.num_latents :])
        words = runs.unflatten(2, (self.words_per_latent, -1)).flatten(1, 2) + self.positions
        memory = self.memory(codes) + self.memory_positions
        return self.head(self.transformer(words, memory))


TextConfig = Annotated[ConvolutionalTextConfig | AttentiveTextConfig, Field(discriminator="name")]


def check_caption_length(config: ConvolutionalTextConfig | AttentiveTextConfig, length: int) -> None:
    """Refuse a config that captions of `length` words do not fit.

    Raises:
        ValueError: They cannot be divided among the latents.
    """
    if isinstance(config, ConvolutionalTextConfig):
        config.kernel_size(length)
    else:
        config.words_per_latent(length)


def build_text_encoder(
    config: ConvolutionalTextConfig | AttentiveTextConfig, length: int, vocab_size: int, latent_size: int
) -> nn.Module:
    """The encoder (B, L) -> (B, L', D) of the config's kind."""
    kind = AttentiveTextEncoder if isinstance(config, AttentiveTextConfig) else ConvolutionalTextEncoder
    return kind(config, length, vocab_size, latent_size)  # pyright: ignore[reportArgumentType]


def build_text_decoder(
    config: ConvolutionalTextConfig | AttentiveTextConfig,
    length: int,
    vocab_size: int,
    latent_size: int,
    num_codes: int,
) -> nn.Module:
    """The decoder (B, T, D) -> (B, L, V) of the config's kind."""
    kind = AttentiveTextDecoder if isinstance(config, AttentiveTextConfig) else ConvolutionalTextDecoder
    return kind(config, length, vocab_size, latent_size, num_codes)  # pyright: ignore[reportArgumentType]


def caption_loss(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Cross-entropy, nats a word, of the known words of `token_ids` (B, L) under `logits` (B, L, V)."""
    known = _known(token_ids)
    targets = token_ids.masked_fill(~known, CaptionTokenizer.pad_id).flatten()
    logits = logits.float().flatten(0, 1)
    total = F.cross_entropy(logits, targets, ignore_index=CaptionTokenizer.pad_id, reduction="sum")
    return total / known.sum().clamp(min=1)


def share_right(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Share of the known words of `token_ids` (B, L) that are the likeliest under `logits` (B, L, V)."""
    known = _known(token_ids)
    return ((logits.argmax(-1) == token_ids) & known).sum() / known.sum().clamp(min=1)


def _known(token_ids: Tensor) -> Tensor:
    return (token_ids != CaptionTokenizer.pad_id) & (token_ids != CaptionTokenizer.mask_id)


def pad_past_end(token_ids: Tensor) -> Tensor:
    """`token_ids` (B, L) with padding in place of all that follows the first [END]."""
    ends = token_ids == CaptionTokenizer.end_id
    past_end = ends.cumsum(1) > ends.int()
    return token_ids.masked_fill(past_end, CaptionTokenizer.pad_id)
