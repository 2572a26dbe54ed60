"""Completes pairs that are known in part: the prior proposes codes, stage 1 says whether they fit.

Image first, then caption, as the prior writes its codes:

- **An image of which nothing is given** is put together from pairs that the prior drew, see `recombination`.
- **Hidden patches** of an image that is given in part are drawn by a particle filter. The prior draws the
  codes of a few patches at a time for many candidates; stage 1 decodes what each shows so far, encodes it
  together with the given words and says how likely it finds these words; candidates are drawn anew in
  proportion.
- **Hidden words** are drawn in rounds. The image's codes, as the encoder writes them beside the caption of
  the round before, are held fast and the prior draws the caption's codes after them.
- One candidate becomes the answer: the one whose given part is least surprising beside what was drawn.

What is given is pasted over every pair on the way, and over the answer. docs/completion.md compares this with
other ways.

P candidates, T codes of a pair, the image's first, L words, K codes of the codebook.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.autoencoder.text import pad_past_end
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.known_part import KnownPart, known_part
from mxqvae.generation.pair_fit import PairFit
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.generation.recombination import RecombinationConfig, Recombiner
from mxqvae.prior.sampling import SamplingConfig, draw, filter_logits
from mxqvae.prior.sequences import PriorSequences

WORD_TEMPERATURE = 2.0
"""Divides stage 1's logits of the given words while an image is drawn.

Of words about what is not drawn yet it guesses, and with confidence: what it says of them differs by several
nats from candidate to candidate for no reason. At 2 that noise is half as large, and what it sees still
counts.
"""


@configuration
class CompletionConfig:
    """How hard an answer is looked for; each answer costs as many samples as these say."""

    num_particles: Annotated[int, Field(ge=1)] = 32
    """Candidates for hidden patches."""
    draws_per_row: Annotated[int, Field(ge=1)] = 2
    """How often candidates are drawn anew in each row of patches, at most once a patch."""
    recombination: RecombinationConfig = RecombinationConfig()
    """How an image of which nothing is given is found."""
    num_candidates: Annotated[int, Field(ge=1)] = 8
    """Candidates for hidden words."""
    num_rounds: Annotated[int, Field(ge=1)] = 3
    """Draws of the hidden words, each beside the caption of the one before."""
    sampling: SamplingConfig = SamplingConfig()
    """How the prior's logits become a draw."""


DEFAULT_COMPLETION = CompletionConfig()


class Completions(NamedTuple):
    """The answers to one pair, likeliest first."""

    pairs: PairBatch
    """A whole pairs: images (A, 3, H, W), token ids (A, L), given parts as they came."""
    captions: list[str]
    """A raw captions."""
    bits: Tensor
    """(A,) float64, ascending: bits of each answer's codes under the prior."""
    numbers: list[int]
    """Which answer of the seed each is, from 0."""


def complete(
    generator: PairGenerator,
    pairs: PairBatch,
    *,
    num_answers: int = 4,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
) -> Iterator[Completions]:
    """Complete pairs, each in several ways.

    An answer is a function of the weights, `config`, its pair, `seed` and its number alone.

    Args:
        pairs: B pairs, NaN where a pixel is to be found, [MASK] where a word is.
        num_answers: A, at least 1.
        seed: In [0, 2^64).

    Returns:
        One `Completions` for each pair, in order, computed as it is asked for.

    Raises:
        MxqvaeError: At once: a number out of range, a stage 1 whose halves have codes of their own, or a pair
            that is given whole or not at all.
    """
    if num_answers < 1:
        raise MxqvaeError(f"num_answers must be at least 1, got {num_answers}")
    if not 0 <= seed < 2**64:
        raise MxqvaeError(f"seed must be in [0, 2^64), got {seed}")
    autoencoder = joint_autoencoder(generator)
    parts = [
        known_part(PairBatch(image[None], token_ids[None]), autoencoder.config)
        for image, token_ids in zip(*pairs, strict=True)
    ]
    search = _Search(generator, autoencoder, seed, config)

    def answers() -> Iterator[Completions]:
        for part in parts:
            found = [search.find(part, _noise(seed, number)) for number in range(num_answers)]
            whole = PairBatch(*(torch.cat(halves) for halves in zip(*found, strict=True)))
            # One at a time: the bits of an answer must not depend on the shape of a batch.
            bits = torch.cat([search.fit.code_bits(autoencoder.encode(pair)).sum(1) for pair in found])
            order = bits.argsort(stable=True)
            ranked = PairBatch(whole.images[order], whole.token_ids[order])
            captions = generator.tokenizer.decode(ranked.token_ids)
            yield Completions(ranked, captions, bits[order], order.tolist())

    return answers()


def joint_autoencoder(generator: PairGenerator) -> MXQVAE:
    """The stage 1 of a model that can complete pairs.

    Raises:
        MxqvaeError: Its halves have codes of their own.
    """
    if not isinstance(generator.autoencoder, MXQVAE):
        raise MxqvaeError(
            "only a joint autoencoder completes pairs, the halves of this one know nothing of each other; "
            "give weights of kind mxqvae"
        )
    return generator.autoencoder


def _noise(seed: int, number: int) -> np.random.Generator:
    """The uniform numbers of one answer of one seed."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))


class _Search:
    """Looks for one answer at a time, in batches whose shape depends on the configuration alone."""

    def __init__(
        self, generator: PairGenerator, autoencoder: MXQVAE, seed: int, config: CompletionConfig
    ) -> None:
        self.generator, self.autoencoder, self.prior = generator, autoencoder, generator.prior
        self.seed, self.config = seed, config
        self.fit = PairFit(autoencoder, generator.prior)
        self.num_image_codes = autoencoder.config.num_image_codes

    @torch.no_grad()
    def find(self, part: KnownPart, noise: np.random.Generator) -> PairBatch:
        """One whole pair with this part in it."""
        pairs = part.repeated(self.config.num_candidates if part.hides_words else 1)
        if part.shows_nothing:
            token_ids = part.pair.token_ids[0]
            image = self._recombiner.find(token_ids, part.words, noise)
            pairs = PairBatch(image.expand_as(pairs.images), pairs.token_ids)
        elif part.hides_pixels:
            pairs = self._draw_images(part, noise)
            if part.hides_words:
                best = self._surprise(part, pairs).argsort(stable=True)[: self.config.num_candidates]
                pairs = PairBatch(pairs.images[best], pairs.token_ids[best])
        if part.hides_words:
            for _ in range(self.config.num_rounds):
                pairs = self._draw_captions(part, pairs, noise)
        best = int(self._surprise(part, pairs).argmin())
        return PairBatch(pairs.images[best][None], pairs.token_ids[best][None])

    @cached_property
    def _recombiner(self) -> Recombiner:
        """Pairs drawn for the seed, once for all pairs to complete."""
        config = self.config.recombination
        generation = replace(self.generator.generation, sampling=self.config.sampling)
        drawn = self.generator.sample(config.num_drawn, seed=self.seed, generation=generation)
        batches = [self.autoencoder.decode(pairs.indices) for pairs in drawn]
        whole = PairBatch(*(torch.cat(halves) for halves in zip(*batches, strict=True)))
        return Recombiner(self.fit, whole, config)

    def _draw_images(self, part: KnownPart, noise: np.random.Generator) -> PairBatch:
        """Pairs (P) whose images are whole; words that were hidden still are."""
        num, grid = self.config.num_particles, self.autoencoder.config.image.grid_size
        width = -(-grid // self.config.draws_per_row)
        chunks = [
            range(start + i, min(start + i + width, start + grid))
            for start in range(0, grid * grid, grid)
            for i in range(0, grid, width)
        ]
        sequences = PriorSequences(self.prior, num)
        pairs, log_fit = part.repeated(num), torch.zeros(num, dtype=torch.float64)
        indices = self.autoencoder.encode(pairs)
        for chunk in chunks:
            for position in chunk:
                logits = sequences.step()
                if not bool(part.patches[position]):
                    indices[:, position] = self._draw(logits, noise)
                sequences.append(indices[:, position])
            if bool(part.patches[chunk.start : chunk.stop].all()) and chunk.stop < self.num_image_codes:
                continue
            pairs = self._show(part, pairs, indices, chunk.stop)
            encoded = self.autoencoder.encode(pairs)
            word_bits = self.fit.word_bits(pairs.token_ids, encoded, WORD_TEMPERATURE)
            new_fit = -math.log(2) * word_bits.masked_fill(~part.words, 0).sum(1)
            kept = _draw_again(new_fit - log_fit, float(noise.random()))
            sequences.keep(kept)
            pairs, indices, log_fit = (
                PairBatch(pairs.images[kept], pairs.token_ids),
                indices[kept],
                new_fit[kept],
            )
            # What is not drawn yet, given patches and the caption, is read again beside what has been drawn.
            indices[:, chunk.stop :] = encoded[kept, chunk.stop :]
        return pairs

    def _show(self, part: KnownPart, pairs: PairBatch, indices: Tensor, num_drawn: int) -> PairBatch:
        """`pairs` with the patches of the first `num_drawn` codes decoded, the given ones given."""
        config = self.autoencoder.config.image
        shown = torch.arange(self.num_image_codes) < num_drawn
        pixels = shown.view(config.grid_size, config.grid_size)
        pixels = pixels.repeat_interleave(config.cell_size, 0).repeat_interleave(config.cell_size, 1)
        images = self.autoencoder.decode(indices).images.masked_fill(~pixels, torch.nan)
        return part.paste_over(PairBatch(images, pairs.token_ids))

    def _draw_captions(self, part: KnownPart, pairs: PairBatch, noise: np.random.Generator) -> PairBatch:
        """`pairs` (P), whole images, with the hidden words drawn anew."""
        indices = self.autoencoder.encode(pairs)
        fixed = torch.cat([torch.ones(self.num_image_codes, dtype=torch.bool), part.runs])
        sequences = PriorSequences(self.prior, len(indices))
        for position in range(indices.shape[1]):
            logits = sequences.step()
            if not bool(fixed[position]):
                indices[:, position] = self._draw(logits, noise)
            sequences.append(indices[:, position])
        logits = self.autoencoder.decode_captions(self.autoencoder.quantizer.lookup(indices))
        if bool((part.pair.token_ids == CaptionTokenizer.end_id).any()):
            # The caption's length is given: every hidden token is a word.
            logits[..., : len(SPECIAL_TOKENS)] = -torch.inf
            return part.paste_over(PairBatch(pairs.images, logits.argmax(-1)))
        return part.paste_over(PairBatch(pairs.images, pad_past_end(logits.argmax(-1))))

    def _draw(self, logits: Tensor, noise: np.random.Generator) -> Tensor:
        """A code (P) from each row of `logits` (P, K)."""
        uniform = torch.from_numpy(noise.random(len(logits))).to(logits.device)
        return draw(filter_logits(logits, self.config.sampling), uniform)

    def _surprise(self, part: KnownPart, pairs: PairBatch) -> Tensor:
        """Bits (P) of the given codes, and of the words under stage 1, beside what was drawn of `pairs` (P).

        Codes of hidden patches do not count: that would prefer images with little in them.
        """
        indices = self.autoencoder.encode(pairs)
        counted = torch.cat([part.patches, torch.ones_like(part.runs)])
        code_bits = self.fit.code_bits(indices)[:, counted].sum(1)
        words = (pairs.token_ids != CaptionTokenizer.pad_id) & (pairs.token_ids != CaptionTokenizer.mask_id)
        return code_bits + self.fit.word_bits(pairs.token_ids, indices).masked_fill(~words, 0).sum(1)


def _draw_again(log_weights: Tensor, uniform: float) -> Tensor:
    """Rows (P) drawn in proportion to exp of `log_weights` (P), evenly spread (systematic resampling).

    Args:
        uniform: In [0, 1).
    """
    num = len(log_weights)
    cumulative = log_weights.softmax(0).cumsum(0)
    places = (torch.arange(num, dtype=torch.float64) + uniform) / num
    return torch.searchsorted(cumulative, places * cumulative[-1], right=True).clamp(max=num - 1)
