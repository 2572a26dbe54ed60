"""Completes pairs that are known in part: the prior, reading what is given, draws the codes of whole pairs.

    given part -> conditioner -> codes of some candidates -> decode, paste the given part over
               -> a few passes through stage 1, pasted over again -> the candidate that fits best

The passes let stage 1 repair the seam between what is given and what was drawn: it has learned to believe an
image and to mend a caption that lies about it. The candidate chosen is the one whose given part is least
surprising beside what was drawn. docs/completion.md compares this with other ways.

C candidates, T codes of a pair, the image's first, L words, K codes of the codebook.
"""

import math
from collections.abc import Iterator
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
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.bits import code_bits, pair_bits
from mxqvae.prior.conditioner import ConditionalPrior, sample_given
from mxqvae.prior.sampling import SamplingConfig


@configuration
class CompletionConfig:
    """How hard an answer is looked for."""

    num_candidates: Annotated[int, Field(ge=1)] = 8
    """Drawn for each answer, of which one becomes it."""
    num_passes: Annotated[int, Field(ge=0)] = 2
    """How often each candidate passes through stage 1."""
    guidance: Annotated[float, Field(ge=0)] = 1.0
    """How much the given part counts: 0 not at all, 1 as the model says, above 1 more than that."""
    sampling: SamplingConfig = SamplingConfig()
    """How logits become a draw."""


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
        MxqvaeError: At once: a number out of range, a model without a conditioner, or a pair that is given
            whole or not at all.
    """
    if num_answers < 1:
        raise MxqvaeError(f"num_answers must be at least 1, got {num_answers}")
    if not 0 <= seed < 2**64:
        raise MxqvaeError(f"seed must be in [0, 2^64), got {seed}")
    model = conditional_prior(generator)
    parts = [
        known_part(PairBatch(image[None], token_ids[None]), model.autoencoder.config)
        for image, token_ids in zip(*pairs, strict=True)
    ]
    search = _Search(model, config)

    def answers() -> Iterator[Completions]:
        for part in parts:
            found = [search.find(part, _noise(seed, number)) for number in range(num_answers)]
            whole = PairBatch(*(torch.cat(halves) for halves in zip(*found, strict=True)))
            # One at a time: the bits of an answer must not depend on the shape of a batch.
            bits = torch.cat([pair_bits(model.prior, model.autoencoder.encode(pair)) for pair in found])
            order = bits.argsort(stable=True)
            ranked = PairBatch(whole.images[order], whole.token_ids[order])
            captions = generator.tokenizer.decode(ranked.token_ids)
            yield Completions(ranked, captions, bits[order], order.tolist())

    return answers()


def conditional_prior(generator: PairGenerator) -> ConditionalPrior:
    """The three models that complete pairs together.

    Raises:
        MxqvaeError: There is no conditioner.
    """
    autoencoder, conditioner = generator.autoencoder, generator.conditioner
    if not isinstance(autoencoder, MXQVAE):
        raise MxqvaeError(
            "only a joint autoencoder completes pairs, the halves of this one know nothing of each other; "
            "give weights of kind mxqvae"
        )
    if conditioner is None:
        raise MxqvaeError(
            "these weights have no conditioner, which completes pairs; train it with "
            "`mxqvae train conditioner`, half an hour on two cores"
        )
    return ConditionalPrior(autoencoder, generator.prior, conditioner).eval()


def _noise(seed: int, number: int) -> np.random.Generator:
    """The uniform numbers of one answer of one seed."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))


class _Search:
    """Looks for one answer at a time, in batches whose shape depends on the configuration alone."""

    def __init__(self, model: ConditionalPrior, config: CompletionConfig) -> None:
        self.model, self.autoencoder, self.config = model, model.autoencoder, config

    @torch.no_grad()
    def find(self, part: KnownPart, noise: np.random.Generator) -> PairBatch:
        """One whole pair with this part in it."""
        num, config = self.config.num_candidates, self.config
        length = self.autoencoder.config.sequence_length
        uniform = torch.from_numpy(noise.random((num, length)))
        known = self.model.read_known(part.pair).repeated(num)
        indices = sample_given(self.model, known, config.sampling, uniform, guidance=config.guidance)
        pairs = self._decode(part, indices)
        for _ in range(config.num_passes):
            pairs = self._decode(part, self.autoencoder.encode(pairs))
        best = int(self._surprise(part, pairs).argmin())
        return PairBatch(pairs.images[best][None], pairs.token_ids[best][None])

    def _decode(self, part: KnownPart, indices: Tensor) -> PairBatch:
        """The pairs (C) of `indices` (C, T), what is given pasted over them."""
        codes = self.autoencoder.quantizer.lookup(indices)
        logits = self.autoencoder.decode_captions(codes)
        # Nothing stays hidden; before a given end, every hidden token is a word.
        never = slice(0, len(SPECIAL_TOKENS)) if part.tells_length else CaptionTokenizer.mask_id
        logits[..., never] = -torch.inf
        token_ids = pad_past_end(logits.argmax(-1))
        images = self.autoencoder.decode(indices).images
        return part.paste_over(PairBatch(images, token_ids))

    def _surprise(self, part: KnownPart, pairs: PairBatch) -> Tensor:
        """Bits (C) of the given codes, and of the words under stage 1, beside what was drawn of `pairs` (C).

        Codes of hidden patches do not count: that would prefer images with little in them.
        """
        indices = self.autoencoder.encode(pairs)
        num_text_codes = indices.shape[1] - len(part.patches)
        counted = torch.cat([part.patches, part.patches.new_ones(num_text_codes)])
        of_codes = code_bits(self.model.prior, indices)[:, counted].sum(1)
        logits = self.autoencoder.decode_captions(self.autoencoder.quantizer.lookup(indices)).double()
        of_words = -logits.log_softmax(-1).gather(-1, pairs.token_ids[..., None])[..., 0] / math.log(2)
        return of_codes + of_words.masked_fill(pairs.token_ids == CaptionTokenizer.pad_id, 0).sum(1)
