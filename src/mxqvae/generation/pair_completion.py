"""Completes one pair, given and given back as people have it: pixels of any size, words."""

from typing import NamedTuple

import numpy as np

from mxqvae.data.batch import to_bytes
from mxqvae.generation.completion import DEFAULT_COMPLETION, CompletionConfig, check_completion, complete
from mxqvae.generation.partial_pairs import batch_of, pair_of
from mxqvae.generation.pipeline import PairGenerator


class CompletedPair(NamedTuple):
    """A answers to one pair, likeliest first."""

    images: np.ndarray
    """(A, H, W, 3) uint8, of the model's size; given pixels as they were after resizing."""
    captions: list[str]
    """A captions, given words as they were."""
    bits: np.ndarray
    """(A,) float64, ascending; see `completion.Completions`."""


def complete_pair(
    generator: PairGenerator,
    image: np.ndarray | None = None,
    caption: str = "",
    hide: np.ndarray | None = None,
    *,
    num_answers: int = 4,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
) -> CompletedPair:
    """Complete one pair in several ways; an answer is a function of weights, `config`, pair, seed and number.

    Args:
        image: (H, W, 3) uint8 of any size: its middle square is taken and resized; None: to be found.
        caption: Hidden words are written [MASK], or [MASK*n] for n tokens; empty: to be found.
        hide: (H, W) bool, the pixels to be found; None: all are given.
        num_answers: A, at least 1.
        seed: In [0, 2^64).

    Raises:
        MxqvaeError: An array of another form, or what `completion.complete` raises.
    """
    given = pair_of(image, caption, hide, check_completion(generator).config.image_size)
    batch = batch_of([given], generator.tokenizer)
    (found,) = complete(generator, batch, num_answers=num_answers, seed=seed, config=config)
    captions = [generator.tokenizer.fill_masked(caption, token_ids) for token_ids in found.pairs.token_ids]
    return CompletedPair(to_bytes(found.pairs.images).numpy(), captions, found.bits.numpy())
