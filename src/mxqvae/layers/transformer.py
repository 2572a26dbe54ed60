"""Transformer layers shared by both stages.

B batch, T positions, S positions of the memory, W width, H heads, D = W / H.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration
from mxqvae.layers.dropout import Dropout, drop

LONGEST_PLAIN_ATTENTION = 128
"""Keys up to which two matmuls and a softmax beat the fused kernel on a CPU (measured: `mxqvae bench`)."""


@configuration
class TransformerConfig:
    """A stack of transformer layers."""

    num_layers: Annotated[int, Field(ge=1)]
    """Layers."""
    width: Annotated[int, Field(ge=1)]
    """Channels W of each position."""
    num_heads: Annotated[int, Field(ge=1)]
    """Attention heads H; divides the width."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of activations dropped in training, in attention and after each sub-layer."""
    norm_first: bool = True
    """Layer norm before each sub-layer (GPT-2) instead of after it (BERT)."""

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} is not a multiple of num_heads {self.num_heads}")


class KeyValue(NamedTuple):
    """Keys and values of one layer's past positions, each (B, H, T, D), written in place."""

    keys: Tensor
    values: Tensor


def plain_attention(query: Tensor, keys: Tensor, values: Tensor, *, causal: bool, dropout: float) -> Tensor:
    """Attention as two matmuls and a softmax, from (B, H, T, D) over (B, H, S, D); returns (B, H, T, D)."""
    scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    return drop(scores.softmax(dim=-1).to(values.dtype), dropout) @ values


class Attention(nn.Module):
    """Multi-head attention of T positions over S memory positions (Vaswani et al. 2017, section 3.2)."""

    def __init__(
        self, config: TransformerConfig, *, causal: bool = False, memory_width: int | None = None
    ) -> None:
        """Build it; `memory_width` is that of the memory, none: W."""
        super().__init__()
        self.num_heads, self.dropout, self.causal = config.num_heads, config.dropout, causal
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(memory_width or config.width, 2 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Attend from `x` (B, T, W) to `memory` (B, S, memory's width); returns (B, T, W)."""
        return self.attend(x, self.remember(memory))

    def remember(self, memory: Tensor) -> KeyValue:
        """Keys and values of `memory` (B, S, memory's width), for whoever attends to it several times."""
        return KeyValue(*self._split(self.key_value(memory)).chunk(2, dim=1))

    def attend(self, x: Tensor, memory: KeyValue) -> Tensor:
        """Attend from `x` (B, T, W) to what is remembered of S positions; returns (B, T, W)."""
        return self._attend(self._split(self.query(x)), memory.keys, memory.values, self.causal)

    def step(self, x: Tensor, past: KeyValue, position: int) -> Tensor:
        """One position `x` (B, 1, W) over itself and the `position` ones before it; extends their cache."""
        keys, values = self._split(self.key_value(x)).chunk(2, dim=1)
        past.keys[:, :, position], past.values[:, :, position] = keys[:, :, 0], values[:, :, 0]
        length = position + 1
        query = self._split(self.query(x))
        return self._attend(query, past.keys[:, :, :length], past.values[:, :, :length], causal=False)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        size = self.query.out_features // self.num_heads
        return x.view(batch, length, width // size, size).transpose(1, 2)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, causal: bool) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        if query.device.type == "cpu" and keys.shape[2] <= LONGEST_PLAIN_ATTENTION:
            attended = plain_attention(query, keys, values, causal=causal, dropout=dropout)
        else:
            attended = F.scaled_dot_product_attention(
                query, keys, values, dropout_p=dropout, is_causal=causal
            )
        return self.output(attended.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention if it reads a memory, and feed-forward, each with a residual."""

    def __init__(
        self, config: TransformerConfig, *, causal: bool = False, reads_memory: bool = False
    ) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = Attention(config, causal=causal)
        self.attention_norm = nn.LayerNorm(config.width)
        self.cross_attention = Attention(config) if reads_memory else None
        self.cross_attention_norm = nn.LayerNorm(config.width) if reads_memory else None
        self.feedforward = nn.Sequential(
            nn.Linear(config.width, 4 * config.width),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * config.width, config.width),
        )
        self.feedforward_norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Transform `x` (B, T, W), reading `memory` (B, S, W) if it was built to; returns (B, T, W)."""
        x = self._residual(x, self.attention_norm, lambda y: self.attention(y, y))
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            cross_attention = self.cross_attention
            x = self._residual(x, self.cross_attention_norm, lambda y: cross_attention(y, memory))
        return self._residual(x, self.feedforward_norm, self.feedforward)

    def step(self, x: Tensor, past: KeyValue, position: int) -> Tensor:
        """One position (B, 1, W) of a causal layer, see `Attention.step`."""
        x = self._residual(x, self.attention_norm, lambda y: self.attention.step(y, past, position))
        return self._residual(x, self.feedforward_norm, self.feedforward)

    def _residual(self, x: Tensor, norm: nn.LayerNorm, sublayer) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))


class Transformer(nn.Module):
    """A stack of `TransformerLayer`, with a last layer norm where the layers' norms come first."""

    def __init__(
        self, config: TransformerConfig, *, causal: bool = False, reads_memory: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            TransformerLayer(config, causal=causal, reads_memory=reads_memory)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm_first else nn.Identity()

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Transform `x` (B, T, W), reading `memory` (B, S, W) if it was built to; returns (B, T, W)."""
        for layer in self.layers:
            x = layer(x, memory)
        return self.norm(x)

    def step(self, x: Tensor, past: list[KeyValue], position: int) -> Tensor:
        """One position (B, 1, W) of a causal stack, extending the cache of `empty_cache` in place."""
        for layer, layer_past in zip(self.layers, past, strict=True):
            assert isinstance(layer, TransformerLayer)
            x = layer.step(x, layer_past, position)
        return self.norm(x)

    def empty_cache(self, batch_size: int, length: int) -> list[KeyValue]:
        """Room for the keys and values of `length` positions, one entry a layer."""
        parameter = next(self.parameters())
        shape = (batch_size, self.config.num_heads, length, self.config.width // self.config.num_heads)
        return [KeyValue(parameter.new_zeros(shape), parameter.new_zeros(shape)) for _ in self.layers]
