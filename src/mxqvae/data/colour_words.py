"""Finds the colour words of a caption. colour_words.txt lists them, the spellings of one colour on a line."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class ColourWord(NamedTuple):
    """A colour word in a caption."""

    start: int
    """Where it begins."""
    end: int
    """Where it ends."""
    colour: str
    """The colour, by its first spelling in the list."""


def _read() -> dict[str, str]:
    """Spelling → the first spelling of the same colour."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return {spelling: line.split()[0] for line in lines for spelling in line.split()}


_COLOURS = _read()
_WORDS = re.compile(rf"\b(?:{'|'.join(_COLOURS)})\b", re.IGNORECASE)


def find_colour_words(caption: str) -> list[ColourWord]:
    """The colour words of `caption`, in its order; parts of longer words are none."""
    return [
        ColourWord(match.start(), match.end(), _COLOURS[match[0].lower()])
        for match in _WORDS.finditer(caption)
    ]


def colour_of(spelling: str) -> str:
    """The colour of a word of the list, by its first spelling."""
    return _COLOURS[spelling]


def replace_colour_words(caption: str, words: Sequence[ColourWord], edits: Mapping[int, str]) -> str:
    """`caption` with some of its colour words replaced; capitals stay.

    Args:
        words: All that `find_colour_words` finds.
        edits: What is said in place of a word, by its number from 0, in order.
    """
    parts, end = [], 0
    for number, new in edits.items():
        old = caption[words[number].start : words[number].end]
        capital = str.upper if old.isupper() else str.capitalize if old[0].isupper() else str.lower
        parts += [caption[end : words[number].start], capital(new)]
        end = words[number].end
    return "".join([*parts, caption[end:]])
