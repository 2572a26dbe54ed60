"""The words of a caption as people see them, each with the tokens that spell it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

WORDS_APART = 8
"""Words of a caption that are hidden at a time stand so far apart, where they are hidden in turns."""


class Word(NamedTuple):
    """A word, or a punctuation mark, of a caption."""

    start: int
    """Where it begins in the caption."""
    end: int
    """Where it ends."""
    tokens: range
    """The positions of its tokens in the encoded caption."""

    def text_in(self, caption: str) -> str:
        """The word itself."""
        return caption[self.start : self.end]


def find_words(caption: str, spans: Sequence[tuple[int, int]]) -> list[Word]:
    """Join the tokens that spell one word; a token of a vocabulary of whole words is a word already.

    Args:
        spans: Where each token stands in the caption, see `CaptionTokenizer.locate`.
    """
    words: list[Word] = []
    first = 0  # of the tokens that wait for their word: some spell no more than the space before it
    for position, (start, end) in enumerate(spans):
        start += len(caption[start:end]) - len(caption[start:end].lstrip())
        if start >= end and position + 1 < len(spans):
            continue
        if words and (start >= end or _joined(caption, words[-1].end, start)):
            last = words[-1]
            words[-1] = Word(last.start, max(last.end, end), range(last.tokens.start, position + 1))
        else:
            words.append(Word(start, end, range(first, position + 1)))
        first = position + 1
    return words


def _joined(caption: str, end: int, start: int) -> bool:
    """Whether what begins at `start` goes on with the word that ends at `end`."""
    # Below: two tokens that share a letter, of which each spells some bytes.
    return start < end or (
        start == end and caption[start - 1].isalnum() and caption[start : start + 1].isalnum()
    )


def replace_words(caption: str, words: Sequence[Word], replacements: Mapping[int, str]) -> str:
    """The caption with some words replaced; spaces, marks and all other words stay.

    Args:
        replacements: By number of the word; they take over whether the word begins with a capital.
    """
    parts, end = [], 0
    for number, word in enumerate(words):
        if number in replacements:
            text, old = replacements[number], word.text_in(caption)
            first = text[:1].upper() if old[:1].isupper() else text[:1].lower()
            parts += [caption[end : word.start], first + text[1:]]
            end = word.end
    return "".join([*parts, caption[end:]])


def in_turns(words: Sequence[Sequence[Word]], length: int) -> tuple[Tensor, Tensor]:
    """Turns in which every `WORDS_APART`-th word of each caption is hidden, so that each is once.

    Returns:
        The captions (R) of the turns, and what each hides of its `length` tokens, (R, length).
    """
    turns = [
        (row, some[first::WORDS_APART])
        for row, some in enumerate(words)
        for first in range(min(WORDS_APART, len(some)))
    ]
    hidden = torch.zeros(len(turns), length, dtype=torch.bool)
    for turn, (_, some) in zip(hidden, turns, strict=True):
        for word in some:
            turn[word.tokens.start : word.tokens.stop] = True
    return torch.tensor([row for row, _ in turns], dtype=torch.long), hidden


def whole_words(some: Tensor, words: Sequence[Sequence[Word]]) -> Tensor:
    """`some` (B, L) and all tokens of each word of which it has one."""
    whole = some.clone()
    for row, tokens in _long_words(words):
        whole[row, tokens] = some[row, tokens].any()
    return whole


def word_sums(values: Tensor, words: Sequence[Sequence[Word]]) -> Tensor:
    """For each token of `values` (B, L) the sum over those that spell its word."""
    sums = values.clone()
    for row, tokens in _long_words(words):
        sums[row, tokens] = values[row, tokens].sum()
    return sums


def _long_words(words: Sequence[Sequence[Word]]) -> Iterator[tuple[int, slice]]:
    for row, row_words in enumerate(words):
        for word in row_words:
            if len(word.tokens) > 1:
                yield row, slice(word.tokens.start, word.tokens.stop)
