"""Finds an image for a caption among drawn pairs and what can be put together from them.

Of the images whose own captions share most with the given one, each read beside the given one, stage 1 says
how likely it finds each word. The best is the start. Then a half or a quarter of it is replaced by the same
part of another that shows what is missing, as long as that makes the caption likelier under stage 1 and the
whole no less plausible under the prior.

M drawn pairs, or images at hand, D donors, L words, V words of the vocabulary, T codes of a pair.
"""

from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import SPECIAL_TOKENS
from mxqvae.generation.pair_fit import PairFit

BATCH_SIZE = 64
IMAGE_CODE_WEIGHT = 0.25
"""Weight of the image's bits beside those of the caption.

At 0 fragments of digits stay where they do not contradict the caption; at 1 the search would prefer images
with little in them.
"""
WORD_WEIGHT = 4.0
"""Weight of the given words' bits under stage 1: they have to be right before anything else counts."""
START_SPREAD = 5.0
"""Bits by which the start of one answer may be worse than that of another, roughly."""
SMALLEST_GAIN = 1.0
"""Bits that a replacement has to save."""
MENDED_BITS = 1.5
"""Bits of all words together below which the image shows what the caption says."""


@configuration
class RecombinationConfig:
    """How hard an image is looked for."""

    num_drawn: Annotated[int, Field(ge=2)] = 1024
    """Pairs M drawn for a seed."""
    num_read: Annotated[int, Field(ge=2)] = 256
    """Images of these that are read beside the caption, those whose own captions share most with it."""
    num_donors: Annotated[int, Field(ge=1)] = 16
    """Images D that parts are taken from in one step."""
    num_finalists: Annotated[int, Field(ge=1)] = 24
    """Images of a step that the prior is asked about."""
    num_steps: Annotated[int, Field(ge=0)] = 10
    """Replacements at most."""
    patience: Annotated[int, Field(ge=1)] = 3
    """Steps in a row without a gain after which the search ends; one, once the words are right."""


class _Scored(NamedTuple):
    """An image and how well it fits."""

    image: Tensor  # (3, H, W)
    word_bits: Tensor  # (L,)
    bits: float  # the words' and the codes', weighted


class Recombiner:
    """Looks for images among those of `drawn`, M whole pairs."""

    def __init__(self, fit: PairFit, drawn: PairBatch, config: RecombinationConfig) -> None:
        self.fit, self.drawn, self.config = fit, drawn, config
        self._bags = _bags_of_words(drawn.token_ids, fit.autoencoder.config.vocab_size)
        stage1 = fit.autoencoder.config
        weights = torch.ones(stage1.sequence_length, dtype=torch.float64)
        weights[: stage1.num_image_codes] = IMAGE_CODE_WEIGHT
        self._code_weights = weights

    @torch.no_grad()
    def find(self, token_ids: Tensor, words: Tensor, noise: np.random.Generator) -> Tensor:
        """An image (3, H, W) for a caption (L) of which `words` (L) bool are given."""
        drawn = self.drawn.images[self._similar(token_ids[words], noise)]
        word_bits, indices = self._read(drawn, token_ids, words)
        spread = torch.from_numpy(noise.gumbel(size=len(drawn))) * START_SPREAD
        best = self._best(drawn, word_bits, indices, spread)
        num_stuck = 0
        for _ in range(self.config.num_steps):
            mended = float(best.word_bits.sum()) < MENDED_BITS
            gains = (best.word_bits - word_bits).clamp(min=0).sum(1)
            # Where no word is missing any image may help: the prior then decides.
            scores = torch.from_numpy(noise.gumbel(size=len(drawn))) + (0 if mended else gains)
            donors = drawn[scores.argsort(descending=True, stable=True)[: self.config.num_donors]]
            mixed = _mix(best.image, donors)
            found = self._best(mixed, *self._read(mixed, token_ids, words), torch.zeros(len(mixed)))
            if found.bits < best.bits - SMALLEST_GAIN:
                best, num_stuck = found, 0
                continue
            num_stuck += 1
            if num_stuck >= (1 if mended else self.config.patience):
                break
        return best.image

    def _read(self, images: Tensor, token_ids: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Bits (M, L) of the given words and codes (M, T) of `images` (M, 3, H, W) beside the caption."""
        bits, codes = [], []
        for some in images.split(BATCH_SIZE):
            captions = token_ids.expand(len(some), -1)
            indices = self.fit.autoencoder.encode(PairBatch(some, captions))
            bits.append(self.fit.word_bits(captions, indices).masked_fill(~words, 0))
            codes.append(indices)
        return torch.cat(bits), torch.cat(codes)

    def _similar(self, given: Tensor, noise: np.random.Generator) -> Tensor:
        """Numbers of the drawn pairs whose captions share most with the `given` words, rare ones foremost."""
        bag = _bags_of_words(given[None], self._bags.shape[1])
        rarity = -torch.log(((self._bags > 0).double().mean(0)).clamp(min=0.5 / len(self._bags)))
        shared = (torch.minimum(self._bags, bag) * rarity).sum(1)
        share = shared / (torch.maximum(self._bags, bag) * rarity).sum(1).clamp(min=1e-9)
        ties = torch.from_numpy(noise.random(len(share))) * 1e-3
        return (share + ties).argsort(descending=True)[: self.config.num_read]

    def _best(self, images: Tensor, word_bits: Tensor, indices: Tensor, handicap: Tensor) -> _Scored:
        """The best by all bits, less a `handicap` (M), of those that are best by the words'."""
        totals = word_bits.sum(1)
        finalists = totals.argsort(stable=True)[: self.config.num_finalists]
        bits = (self.fit.code_bits(indices[finalists]) * self._code_weights).sum(1)
        bits += WORD_WEIGHT * totals[finalists]
        place = int((bits - handicap[finalists]).argmin())
        row = int(finalists[place])
        return _Scored(images[row], word_bits[row], float(bits[place]))


def _bags_of_words(token_ids: Tensor, vocab_size: int) -> Tensor:
    """How often each word stands in each caption (M, L): (M, V) float64, special tokens not counted."""
    bags = torch.zeros(len(token_ids), vocab_size, dtype=torch.float64)
    bags.scatter_add_(1, token_ids, torch.ones(token_ids.shape, dtype=torch.float64))
    bags[:, : len(SPECIAL_TOKENS)] = 0
    return bags


def _mix(image: Tensor, donors: Tensor) -> Tensor:
    """`image` (3, H, W) with each half and quarter of each of `donors` (D, 3, H, W): (8 D, 3, H, W)."""
    height, width = image.shape[1:]
    rows = (slice(0, height // 2), slice(height // 2, height))
    columns = (slice(0, width // 2), slice(width // 2, width))
    everything = slice(None)
    parts = [(half, everything) for half in rows] + [(everything, half) for half in columns]
    parts += [(row, column) for row in rows for column in columns]
    mixed = image.expand(len(parts), len(donors), -1, -1, -1).clone()
    for number, (row, column) in enumerate(parts):
        mixed[number, :, :, row, column] = donors[:, :, row, column]
    return mixed.flatten(0, 1)
