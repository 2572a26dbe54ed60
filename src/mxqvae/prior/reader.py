"""The reader lets a trained prior read captions: it then draws pairs that show what given words say.

A caption's codes of a joint codebook hold the form of its sentence and not its digits (docs/design.md): a
prior that knows only codes cannot draw an image for a caption. The reader is a few layers beside it, trained
after it. The prior is left as it is, and without words it draws what it drew before.

    x -> x + attention(norm(x), words) -> layer(x), for each layer of the prior

as in Flamingo (Alayrac et al. 2022, section 2.2), with output projections that start at zero in place of
gates.

B batch, P sequences, T codes of a pair, L words, W the prior's width, K codes of the codebook.
"""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.layers.transformer import Attention, KeyValue, Transformer, TransformerConfig, TransformerLayer
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior, PriorLosses

Memory = list[KeyValue]
"""Captions as the layers of the prior read them, one entry a layer."""


@configuration
class ReaderConfig:
    """The reader of one prior."""

    vocab_size: Annotated[int, Field(ge=4)]
    """Token ids of a caption."""
    caption_length: Annotated[int, Field(ge=1)]
    """Tokens L of a caption, padding included."""
    prior: TransformerConfig
    """Layers of the prior that reads."""
    words: TransformerConfig = TransformerConfig(num_layers=2, width=96, num_heads=4)
    """Layers that the words pass first."""
    share_hidden: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the training captions of which words are hidden, a share of them drawn evenly from 0 to 1."""


class CodedPairs(NamedTuple):
    """B pairs as the prior models them, and their captions."""

    indices: Tensor
    """(B, T)."""
    token_ids: Tensor
    """(B, L)."""


class CaptionReader(nn.Module):
    """Words -> what each layer of the prior attends to."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.words.width
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Parameter(torch.randn(config.caption_length, width) * 0.02)
        self.words = Transformer(config.words)
        self.norms = nn.ModuleList(nn.LayerNorm(config.prior.width) for _ in range(config.prior.num_layers))
        self.attentions = nn.ModuleList(
            Attention(config.prior, memory_width=width) for _ in range(config.prior.num_layers)
        )
        for attention in self.attentions:
            assert isinstance(attention, Attention)
            nn.init.zeros_(attention.output.weight)
            nn.init.zeros_(attention.output.bias)

    def remember(self, token_ids: Tensor) -> Memory:
        """What the prior's layers attend to of captions (B, L); hidden words are [MASK]."""
        words = self.words(self.embedding(token_ids) + self.positions)
        return [attention.remember(words) for attention in self._attentions()]

    def read(self, x: Tensor, layer: int, memory: Memory) -> Tensor:
        """`x` (B, T, W), about to enter a layer of the prior, with what it takes from the words added."""
        attention = self._attentions()[layer]
        return x + attention.attend(self.norms[layer](x), memory[layer])

    def _attentions(self) -> list[Attention]:
        return list(self.attentions)  # type: ignore[arg-type]


class ReadingPrior(nn.Module):
    """Distribution over code sequences given words, as it is trained: the prior does not learn any more."""

    def __init__(self, prior: Prior, reader: CaptionReader) -> None:
        """Freeze `prior` and join them."""
        super().__init__()
        self.prior, self.reader = prior.requires_grad_(False), reader

    def train(self, mode: bool = True) -> "ReadingPrior":
        """Put the reader in training mode, or in eval mode; the prior stays in eval mode."""
        super().train(mode)
        self.prior.eval()
        return self

    def loss(self, pairs: CodedPairs) -> PriorLosses:
        """Cross-entropy of a batch's codes given its captions, in training some words hidden."""
        token_ids = self._hide_words(pairs.token_ids) if self.training else pairs.token_ids
        drawn = pairs.indices[:, self.prior.config.order]
        return PriorLosses(self.prior.cross_entropy(self._last_layer(drawn, token_ids), drawn))

    def summarise(self, sums: PriorLosses, num_steps: int) -> dict[str, float]:
        """See `Prior.summarise`."""
        return self.prior.summarise(sums, num_steps)

    def logits_as_drawn(self, drawn: Tensor, token_ids: Tensor) -> Tensor:
        """Logits (B, T, K) of codes `drawn` (B, T), in the order in which they are, given words (B, L)."""
        return self.prior.score(self._last_layer(drawn, token_ids), slice(drawn.shape[1]))

    def _last_layer(self, drawn: Tensor, token_ids: Tensor) -> Tensor:
        prior = self.prior
        memory = self.reader.remember(token_ids)
        start = drawn.new_full((len(drawn), 1), prior.start_index)
        x = prior.embedding(torch.cat([start, drawn[:, :-1]], dim=1)) + prior.positions
        for number, layer in enumerate(prior.transformer.layers):
            x = layer(self.reader.read(x, number, memory))
        return prior.transformer.norm(x)

    def _hide_words(self, token_ids: Tensor) -> Tensor:
        device, num = token_ids.device, len(token_ids)
        some_hidden = torch.rand(num, 1, device=device) < self.reader.config.share_hidden
        share = torch.rand(num, 1, device=device) * some_hidden
        hidden = torch.rand(token_ids.shape, device=device) < share
        return token_ids.masked_fill(hidden & (token_ids > CaptionTokenizer.end_id), CaptionTokenizer.mask_id)


class ReadingSequences(PriorSequences):
    """Code by code, P sequences whose pairs show what words say."""

    def __init__(self, prior: Prior, reader: CaptionReader, token_ids: Tensor) -> None:
        """Begin empty sequences, one for each caption (P, L); words that are not known are [MASK]."""
        super().__init__(prior, len(token_ids))
        self._reader, self._memory = reader, reader.remember(token_ids)

    def _through_layers(self, x: Tensor) -> Tensor:
        transformer = self.prior.transformer
        for number, (layer, past) in enumerate(zip(transformer.layers, self._past, strict=True)):
            assert isinstance(layer, TransformerLayer)
            x = layer.step(self._reader.read(x, number, self._memory), past, self.num_steps)
        return transformer.norm(x)

    def keep(self, rows: Tensor) -> None:
        """Go on with sequence `rows[i]`, and its words, in place of sequence i, for all of `rows` (P)."""
        super().keep(rows)
        self._memory = [KeyValue(memory.keys[rows], memory.values[rows]) for memory in self._memory]
