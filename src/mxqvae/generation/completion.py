"""Completes pairs that are known in part: the prior proposes, stage 1 mends, and says what fits.

- **Hidden words.** The prior draws captions; stage 1 reads each beside what is given of the image, which it
  believes, and mends the words that contradict it.
- **Hidden patches, words given.** The prior draws whole pairs while the given words are read to it. The
  caption's codes alone do not tell the image: what a digit is stands in the image's codes. Of patches that
  are given the encoder's codes are taken.
- **Hidden patches of an image, no words given** (or no reader to read them). The caption is found first, as
  above. The prior draws the image's codes after those of the caption and, again, the given patches.
- One candidate becomes the answer: of those in which stage 1, reading them, doubts no word the one whose
  given part is least surprising beside what was drawn. While there is none, more are drawn.

What is given is pasted over every pair on the way, and over the answer. docs/completion.md compares this with
other ways.

P candidates, T codes of a pair, the image's first, N the caption's, L words, K codes of the codebook.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
from mxqvae.device import to_device
from mxqvae.errors import MxqvaeError
from mxqvae.generation.known_part import KnownPart, known_part
from mxqvae.generation.pair_fit import PairFit
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.guidance import GuidedSequences
from mxqvae.prior.reader import CaptionReader
from mxqvae.prior.sampling import SamplingConfig, draw, filter_logits
from mxqvae.prior.sequences import PriorSequences

NUM_CAPTIONS_KEPT = 8
"""Of the candidates for hidden words, those that images are drawn for."""


@configuration
class CompletionConfig:
    """How hard an answer is looked for; each answer costs as many samples as these say."""

    num_captions: Annotated[int, Field(ge=1)] = 32
    """Candidates for hidden words."""
    num_images: Annotated[int, Field(ge=1)] = 32
    """Candidates for hidden patches."""
    num_attempts: Annotated[int, Field(ge=1)] = 4
    """How often so many are drawn at most: until stage 1 finds no word of one of them dearer than those for
    which the weights draw pairs anew, `GenerationConfig.max_word_bits`."""
    num_rounds: Annotated[int, Field(ge=1)] = 3
    """How often stage 1 mends each candidate."""
    guidance: Annotated[float, Field(ge=0)] = 1.5
    """How closely what is drawn follows words that are read; 1: as learned. See `prior.guidance`."""
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
    """(A,) float64, ascending: of each answer's codes under the prior, and of its words under stage 1."""
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
        MxqvaeError: At once: a number out of range, weights that cannot complete, see `check_completion`, or
            a pair that is given whole or not at all; or a caption alone where nothing reads it to the prior.
    """
    check_asked(num_answers, seed)
    autoencoder = check_completion(generator)
    parts = [
        known_part(PairBatch(image[None], token_ids[None]), autoencoder.config)
        for image, token_ids in zip(*pairs, strict=True)
    ]
    if generator.reader is None and any(part.shows_nothing for part in parts):
        raise MxqvaeError(
            "these weights have no reader and cannot find an image for words alone; "
            "train one with `mxqvae train reader`, or give a part of the image"
        )
    search = _Search(generator, autoencoder, config)

    def answers() -> Iterator[Completions]:
        for given in parts:
            part = to_device(given, generator.device)
            found = [search.find(part, _noise(seed, number)) for number in range(num_answers)]
            # One at a time: the bits of an answer must not depend on the shape of a batch.
            bits = torch.cat([search.fit.likelihood(pair).pair_bits() for pair in found]).cpu()
            order = bits.argsort(stable=True)
            ranked = PairBatch(*(half.cpu()[order] for half in _join(found)))
            captions = generator.tokenizer.decode(ranked.token_ids)
            yield Completions(ranked, captions, bits[order], order.tolist())

    return answers()


def check_asked(num_answers: int, seed: int) -> None:
    """Refuse a number of answers below 1, or a seed outside [0, 2^64).

    Raises:
        MxqvaeError: It is one.
    """
    if num_answers < 1:
        raise MxqvaeError(f"num_answers must be at least 1, got {num_answers}")
    if not 0 <= seed < 2**64:
        raise MxqvaeError(f"seed must be in [0, 2^64), got {seed}")


def check_completion(generator: PairGenerator) -> MXQVAE:
    """The stage 1 of a model that can complete pairs.

    Raises:
        MxqvaeError: Its halves have codes of their own, or its prior draws images before captions.
    """
    if not isinstance(generator.autoencoder, MXQVAE):
        raise MxqvaeError(
            "these weights encode image and caption apart and cannot complete pairs; give weights of another "
            "recipe, such as caption-mnist-cpu, pairs-cpu or photos-cpu"
        )
    if generator.prior.config.caption_first is None:
        raise MxqvaeError(
            "this prior draws images before captions and cannot propose captions for an image; "
            "train one whose caption_first is set, as the cpu recipes do"
        )
    return generator.autoencoder


def _noise(seed: int, number: int) -> np.random.Generator:
    """The uniform numbers of one answer of one seed."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))


def _join(batches: Sequence[PairBatch]) -> PairBatch:
    return PairBatch(*(torch.cat(halves) for halves in zip(*batches, strict=True)))


class _Misfit(NamedTuple):
    """How badly P candidates fit what is given."""

    surprise: Tensor
    """(P,) float64, bits of the given patches' codes and of the caption under both stages."""
    is_doubted: Tensor
    """(P,) bool: stage 1, reading the pair, finds a word too dear."""


class _Search:
    """Looks for one answer at a time, in batches whose shape depends on the configuration alone."""

    def __init__(self, generator: PairGenerator, autoencoder: MXQVAE, config: CompletionConfig) -> None:
        self.autoencoder, self.config = autoencoder, config
        self.prior, self.reader = generator.prior, generator.reader
        self.max_word_bits = generator.generation.max_word_bits or torch.inf
        self.fit = PairFit(autoencoder, generator.prior)
        self.num_image_codes = autoencoder.config.num_image_codes

    @torch.no_grad()
    def find(self, part: KnownPart, noise: np.random.Generator) -> PairBatch:
        """One whole pair with this part in it."""
        draw = self._draws(part, noise)
        best = self._best(part, draw())
        for _ in range(1, self.config.num_attempts):
            if not bool(self._misfit(part, best).is_doubted):
                break
            other = self._best(part, draw())
            best = self._best(
                part, PairBatch(*(torch.cat(halves) for halves in zip(best, other, strict=True)))
            )
        return best

    def _draws(self, part: KnownPart, noise: np.random.Generator) -> Callable[[], PairBatch]:
        """What draws candidates (P) for this part, others each time."""
        if part.hides_pixels and part.gives_words and self.reader is not None:
            return partial(self._draw_told, part, self.reader, noise)
        if not part.hides_pixels:
            return partial(self._draw_captions, part, noise)
        pairs = self._draw_captions(part, noise) if part.hides_words else part.repeated(1)
        order = self._misfit(part, pairs).surprise.argsort(stable=True)[:NUM_CAPTIONS_KEPT]
        rows = order[torch.arange(self.config.num_images) % len(order)]
        return partial(self._draw_images, part, PairBatch(*(half[rows] for half in pairs)), noise)

    def _best(self, part: KnownPart, pairs: PairBatch) -> PairBatch:
        """The least surprising of `pairs` (P) without a doubted word, or of all where each has one."""
        surprise, is_doubted = self._misfit(part, pairs)
        best = int(surprise.masked_fill(is_doubted & ~is_doubted.all(), torch.inf).argmin())
        return PairBatch(pairs.images[best][None], pairs.token_ids[best][None])

    def _draw_captions(self, part: KnownPart, noise: np.random.Generator) -> PairBatch:
        """Pairs (P) whose captions are whole; patches that were hidden still are."""
        pairs = part.repeated(self.config.num_captions)
        indices = self.autoencoder.encode(pairs)
        sequences = PriorSequences(self.prior, len(indices))
        num_caption_codes = indices.shape[1] - self.num_image_codes
        for step, position in enumerate(self.prior.config.order[:num_caption_codes]):
            logits = sequences.step()
            if not bool(part.runs[step]):
                indices[:, position] = self._draw(logits, noise)
            elif not bool(part.runs[:step].all()):
                # Go on with those that the given words are likely after.
                log_shares = logits.double().log_softmax(-1).gather(1, indices[:, position, None])[:, 0]
                kept = _draw_again(log_shares, float(noise.random()))
                sequences.keep(kept)
                indices = indices[kept]
            sequences.append(indices[:, position])
        for _ in range(self.config.num_rounds):
            pairs = PairBatch(pairs.images, self._words(part, indices))
            indices = self.autoencoder.encode(pairs)
        return PairBatch(pairs.images, self._words(part, indices))

    def _draw_told(self, part: KnownPart, reader: CaptionReader, noise: np.random.Generator) -> PairBatch:
        """Whole pairs (P), drawn while the given words are read to the prior."""
        pairs = part.repeated(self.config.num_images)
        sequences = GuidedSequences(self.prior, reader, pairs.token_ids, self.config.guidance)
        # The encoder's codes of a caption with holes, beside an image with holes, say less than its words.
        return self._draw_codes(part, pairs, sequences, torch.zeros_like(part.runs), noise)

    def _draw_images(self, part: KnownPart, pairs: PairBatch, noise: np.random.Generator) -> PairBatch:
        """`pairs` (P), whose captions are whole, with hidden patches drawn."""
        sequences = PriorSequences(self.prior, len(pairs.images))
        return self._draw_codes(part, pairs, sequences, torch.ones_like(part.runs), noise)

    def _draw_codes(
        self,
        part: KnownPart,
        pairs: PairBatch,
        sequences: PriorSequences | GuidedSequences,
        runs: Tensor,
        noise: np.random.Generator,
    ) -> PairBatch:
        """`pairs` (P) with their codes drawn and mended, except those of given patches and of `runs` (N)."""
        kept = torch.cat([part.patches, runs])
        indices = self.autoencoder.encode(pairs)
        for position in self.prior.config.order:
            logits = sequences.step()
            if not bool(kept[position]):
                indices[:, position] = self._draw(logits, noise)
            sequences.append(indices[:, position])
        for _ in range(self.config.num_rounds):
            images = self.autoencoder.decode(indices).images
            pairs = part.paste_over(PairBatch(images, self._words(part, indices)))
            indices = self.autoencoder.encode(pairs)
        return pairs

    def _words(self, part: KnownPart, indices: Tensor) -> Tensor:
        """Captions (P, L) of `indices` (P, T), given words in their places."""
        if not part.hides_words:
            return part.pair.token_ids.expand(len(indices), -1)
        logits = self.autoencoder.decode_captions(self.autoencoder.quantizer.lookup(indices))
        if bool((part.pair.token_ids == CaptionTokenizer.end_id).any()):
            # The caption's length is given: every hidden token is a word.
            logits[..., : len(SPECIAL_TOKENS)] = -torch.inf
            return part.paste_words(logits.argmax(-1))
        return part.paste_words(pad_past_end(logits.argmax(-1)))

    def _draw(self, logits: Tensor, noise: np.random.Generator) -> Tensor:
        """A code (P) from each row of `logits` (P, K)."""
        uniform = torch.from_numpy(noise.random(len(logits))).to(logits.device)
        return draw(filter_logits(logits, self.config.sampling), uniform)

    def _misfit(self, part: KnownPart, pairs: PairBatch) -> _Misfit:
        """How badly `pairs` (P), whose images may still have holes, fit what is given."""
        indices = self.autoencoder.encode(pairs)
        # Codes of hidden patches do not count: that would prefer images with little in them.
        counted = torch.cat([part.patches, torch.ones_like(part.runs)])
        code_bits = self.fit.code_bits(indices)[:, counted].sum(1)
        word_bits = self.fit.word_bits(pairs.token_ids, indices)
        is_token = (pairs.token_ids != CaptionTokenizer.pad_id) & (
            pairs.token_ids != CaptionTokenizer.mask_id
        )
        is_word = pairs.token_ids > CaptionTokenizer.end_id
        is_doubted = (word_bits.masked_fill(~is_word, 0) > self.max_word_bits).any(1)
        return _Misfit(code_bits + word_bits.masked_fill(~is_token, 0).sum(1), is_doubted)


def _draw_again(log_weights: Tensor, uniform: float) -> Tensor:
    """Rows (P) drawn in proportion to exp of `log_weights` (P), evenly spread (systematic resampling).

    Args:
        uniform: In [0, 1).
    """
    num = len(log_weights)
    cumulative = log_weights.softmax(0).cumsum(0)
    places = (torch.arange(num, dtype=torch.float64, device=log_weights.device) + uniform) / num
    return torch.searchsorted(cumulative, places * cumulative[-1], right=True).clamp(max=num - 1)
