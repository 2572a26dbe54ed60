"""How well a pair fits together, by both stages.

P pairs, T codes of a pair, L words.
"""

import math

import torch
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import SPECIAL_TOKENS
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior


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
    def worst_word_bits(self, pairs: PairBatch) -> Tensor:
        """Bits (P,), float64, of the word that stage 1 doubts most when it reads `pairs`; 0 without words."""
        bits = self.word_bits(pairs.token_ids, self.autoencoder.encode(pairs))
        return bits.masked_fill(pairs.token_ids < len(SPECIAL_TOKENS), 0).amax(1)
