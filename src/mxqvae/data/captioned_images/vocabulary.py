"""Chooses a tokenizer's vocabulary size and caption length by the captions, and trains it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from mxqvae.data.tokenizer import SMALLEST_SUBWORD_VOCABULARY, CaptionTokenizer

LARGEST_DEFAULT_VOCABULARY = 8192
"""Token ids at most, where the size is chosen by the captions."""
FREQUENT = 5
"""Occurrences from which a word counts as frequent: of a rarer one, little is learned."""
UNCUT_SHARE = 0.995
"""Captions that the default length holds whole."""

_WORD = re.compile(r"\w+")


def train_tokenizer(
    captions: Sequence[str],
    *,
    vocab_size: int | None,
    max_length: int | None,
) -> CaptionTokenizer:
    """Train a tokenizer of subwords.

    Args:
        captions: Training captions.
        vocab_size: Token ids; by default `choose_vocab_size`.
        max_length: Tokens, [END] included; by default `choose_max_length`.

    Raises:
        MxqvaeError: There are no captions, or `vocab_size` is too small.
    """
    if vocab_size is None:
        vocab_size = choose_vocab_size(captions)
    tokenizer = CaptionTokenizer.train_subwords(captions, vocab_size=vocab_size, max_length=max_length)
    if max_length is not None:
        return tokenizer
    return tokenizer.with_max_length(choose_max_length(tokenizer.count_tokens(captions)))


def choose_vocab_size(captions: Iterable[str]) -> int:
    """Room for the bytes and a subword for each frequent word: a multiple of 64, at most 8,192."""
    counts = Counter(word for caption in captions for word in _WORD.findall(caption.lower()))
    num_frequent = sum(count >= FREQUENT for count in counts.values())
    return min(_round_up(SMALLEST_SUBWORD_VOCABULARY + num_frequent, 64), LARGEST_DEFAULT_VOCABULARY)


def choose_max_length(num_tokens: Sequence[int], uncut_share: float = UNCUT_SHARE) -> int:
    """The length that at least `uncut_share` of the captions fit in, rounded up to a multiple of 8.

    Args:
        num_tokens: Tokens that each caption needs, [END] included; at least one caption.
    """
    longest_first = sorted(num_tokens, reverse=True)
    num_cut = int(len(longest_first) * (1 - uncut_share) + 1e-9)  # as many may be longer
    return _round_up(longest_first[num_cut], 8)


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
