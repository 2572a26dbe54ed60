"""Where a caption says what its image shows: the words that a Degree set edits; whether they come back."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mxqvae.data.caption_grammar import COLOURS
from mxqvae.data.colour_words import find_colour_words
from mxqvae.errors import MxqvaeError

Slots = list[tuple[int, ...]]
"""For each slot of a caption where its words begin."""
FindSlots = Callable[[str], Slots]
"""Finds the slots of a caption."""

_WORD = re.compile(r"\w+|[^\w\s]")
"""A mark stands alone: two that have a space between them in a caption may come back without it."""
_DIGIT = re.compile(r"\b\d\b")
_COLOUR = re.compile(rf"\b(?:{'|'.join(COLOURS)})\b", re.IGNORECASE)


def digits_and_colours(caption: str) -> Slots:
    """The slots of Caption MNIST: a clause has one digit and one colour, so that the n-th of each is a slot.

    Raises:
        MxqvaeError: Not as many of one as of the other.
    """
    digits, colours = ([match.start() for match in word.finditer(caption)] for word in (_DIGIT, _COLOUR))
    if len(digits) != len(colours):
        raise MxqvaeError("captions of a Degree set must have a colour for each digit; build the set again")
    return list(zip(digits, colours, strict=True))


def colours_alone(caption: str) -> Slots:
    """The slots of a photo's caption: each of its colour words is one."""
    return [(word.start,) for word in find_colour_words(caption)]


class Returned(NamedTuple):
    """What of a caption comes back."""

    slots: list[list[bool]]
    """For each slot, for each of its words, whether it stands in the other caption at the same place."""
    others: list[bool]
    """The same for all other words and marks."""


def compare(caption: str, returned: str, find_slots: FindSlots) -> Returned:
    """Hold `returned` against `caption`, the first word against the first and so on; case does not matter."""
    back = [match[0].lower() for match in _WORD.finditer(returned)]
    same = {
        match.start(): number < len(back) and back[number] == match[0].lower()
        for number, match in enumerate(_WORD.finditer(caption))
    }
    slots = find_slots(caption)
    in_slots = {start for slot in slots for start in slot}
    return Returned(
        [[same[start] for start in slot] for slot in slots],
        [is_same for start, is_same in same.items() if start not in in_slots],
    )


def check_slots(compared: Sequence[Returned]) -> None:
    """Refuse captions that are not of one kind.

    Raises:
        MxqvaeError: No slots, or captions that differ in the number of theirs.
    """
    numbers = {len(one.slots) for one in compared}
    if len(numbers) != 1 or 0 in numbers:
        raise MxqvaeError(
            f"captions of one Degree set have {min(numbers)} to {max(numbers)} slots; build the set again"
        )
