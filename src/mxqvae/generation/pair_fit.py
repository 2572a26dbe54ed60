"""How well a pair fits together, by both stages.

P pairs, T codes of a pair, L words.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior


class PairLikelihood(NamedTuple):
    """Bits of P pairs: -log2 p(codes) under the prior, and -log2 p(words | codes) under stage 1."""

    code_bits: Tensor
    """(P, T) float64: each code given those drawn before it; the image's codes come first."""
    word_bits: Tensor
    """(P, L) float64: each word given all codes, [END] among them; 0 for padding and words not known."""

    def pair_bits(self) -> Tensor:
        """(P,): -log2 p(codes, words), what the caption and the codes of the pair cost together."""
        return self.code_bits.sum(1) + self.word_bits.sum(1)


class PairFit:
    """Both stages of one model, asked about codes and words."""

    def __init__(self, autoencoder: MXQVAE, prior: Prior) -> None:
        """Both in eval mode."""
        self.autoencoder, self.prior = autoencoder, prior

    def code_bits(self, indices: Tensor) -> Tensor:
        """Bits (P, T), float64, of each code of `indices` (P, T) under the prior, given those before it."""
        return code_bits(self.prior, indices)

    @torch.no_grad()
    def word_bits(self, token_ids: Tensor, indices: Tensor) -> Tensor:
        """Bits (P, L), float64, of each word of `token_ids` (P, L) under stage 1, given codes (P, T)."""
        logits = self.autoencoder.decode_captions(self.autoencoder.quantizer.lookup(indices)).double()
        log_shares = logits.log_softmax(-1)
        return -log_shares.gather(-1, token_ids[..., None])[..., 0] / math.log(2)

    @torch.no_grad()
    def likelihood(self, pairs: PairBatch) -> PairLikelihood:
        """Bits of whole `pairs`; see `PairGenerator.likelihood`."""
        indices = self.autoencoder.encode(pairs)
        known = (pairs.token_ids != CaptionTokenizer.pad_id) & (pairs.token_ids != CaptionTokenizer.mask_id)
        words = self.word_bits(pairs.token_ids, indices).masked_fill(~known, 0)
        return PairLikelihood(self.code_bits(indices), words)

    @torch.no_grad()
    def worst_word_bits(self, pairs: PairBatch) -> Tensor:
        """Bits (P,), float64, of the word that stage 1 doubts most when it reads `pairs`; 0 without words."""
        bits = self.word_bits(pairs.token_ids, self.autoencoder.encode(pairs))
        return bits.masked_fill(pairs.token_ids < len(SPECIAL_TOKENS), 0).amax(1)
