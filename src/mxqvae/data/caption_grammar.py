"""The language of Caption MNIST: slots to captions and back.

Pure text. This module knows no pixels and draws nothing at random: the builder chooses every word
(`caption_mnist`, `degree`), the score reads every caption (`evaluation.consistency`).
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

KINDS: tuple[str, ...] = ("Single", "Quad1", "Quad2", "Quad3", "Quad4")
QUADRANTS = ("upper left", "upper right", "lower left", "lower right")
CENTRE = "centre"
COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
}
POSITION_WORDS: dict[str, tuple[str, ...]] = {
    "upper left": ("upper left", "top left"),
    "upper right": ("upper right", "top right"),
    "lower left": ("lower left", "bottom left"),
    "lower right": ("lower right", "bottom right"),
}
"""What a caption may call each quadrant."""


class Slot(NamedTuple):
    """One object of a pair."""

    position: str
    """One of `QUADRANTS`, or `CENTRE` in a pair of kind Single."""
    digit: int
    """0 to 9."""
    colour: str
    """A key of `COLOURS`."""


class ClauseForm(Enum):
    """How a clause says its slot; each value is the template."""

    SINGLE = "this is {colour} {digit}"
    """The only form of a Single pair, and of no other."""
    COLOUR_LAST = "the {digit} on the {position} is {colour}"
    POSITION_LAST = "the {colour} {digit} is on the {position}"
    POSITION_FIRST = "the {position} {digit} is {colour}"


QUADRANT_FORMS = (ClauseForm.COLOUR_LAST, ClauseForm.POSITION_LAST, ClauseForm.POSITION_FIRST)
"""The forms that a clause of a Quad pair is drawn from."""


class Clause(NamedTuple):
    """A slot and the words chosen for it."""

    slot: Slot
    form: ClauseForm
    position_words: str
    """One of `POSITION_WORDS[slot.position]`; unused, by custom empty, in `ClauseForm.SINGLE`."""


def compose_caption(clauses: Sequence[Clause]) -> str:
    """The raw caption: clauses joined by ", ", the last by ", and ", first letter upper case, full stop."""
    phrases = [
        clause.form.value.format(
            colour=clause.slot.colour, digit=clause.slot.digit, position=clause.position_words
        )
        for clause in clauses
    ]
    *others, last = phrases
    sentence = ", ".join([*others, f"and {last}"]) if others else last
    return f"{sentence[0].upper()}{sentence[1:]}."


def parse_caption(caption: str) -> tuple[Slot, ...] | None:
    """Read a caption of the grammar; the case of its first letter is free.

    Returns:
        The slots in caption order, under canonical position names ("upper left" for "top left"). None where
        the caption is not in the grammar: other words, a position named twice, a missing "and" or full stop.
    """
    sentence = caption[:1].lower() + caption[1:]
    if not sentence.endswith("."):
        return None
    phrases = sentence[:-1].split(", ")
    if len(phrases) == 1:
        slot = _parse_clause(_SINGLE_CLAUSE, phrases[0]) or _parse_clause(_QUADRANT_CLAUSE, phrases[0])
        return None if slot is None else (slot,)
    if not phrases[-1].startswith("and "):
        return None
    phrases[-1] = phrases[-1].removeprefix("and ")
    slots = tuple(slot for phrase in phrases if (slot := _parse_clause(_QUADRANT_CLAUSE, phrase)))
    positions = {slot.position for slot in slots}
    return slots if len(slots) == len(phrases) == len(positions) else None


def replace_slots(caption: str, slots: Sequence[Slot]) -> str:
    """Let a caption of the grammar say the digits and colours of `slots`; every other word stays.

    Args:
        slots: As many as the caption says, at the same positions in the same order.
    """
    digits, colours = (str(slot.digit) for slot in slots), (slot.colour for slot in slots)
    # A clause has one digit and one colour: the caption's n-th of either belongs to its n-th slot.
    return _SLOT_WORD.sub(lambda word: next(digits if word[0].isdigit() else colours), caption)


def kind_of(slots: Sequence[Slot]) -> str:
    """The kind of a pair with these slots: "Single", or "QuadN" for N slots in quadrants."""
    return KINDS[0] if slots[0].position == CENTRE else KINDS[len(slots)]


_SLOT_WORD = re.compile(rf"\b(?:[0-9]|{'|'.join(COLOURS)})\b")
_CANONICAL_POSITIONS = {words: position for position, choices in POSITION_WORDS.items() for words in choices}


def _clause_pattern(forms: Sequence[ClauseForm]) -> re.Pattern[str]:
    """One pattern for several forms; the groups of form number i are called digit_i, colour_i, position_i."""
    choices = {"digit": "[0-9]", "colour": "|".join(COLOURS), "position": "|".join(_CANONICAL_POSITIONS)}
    return re.compile(
        "|".join(
            form.value.format(**{name: f"(?P<{name}_{i}>{words})" for name, words in choices.items()})
            for i, form in enumerate(forms)
        )
    )


_SINGLE_CLAUSE = _clause_pattern([ClauseForm.SINGLE])
_QUADRANT_CLAUSE = _clause_pattern(QUADRANT_FORMS)


def _parse_clause(pattern: re.Pattern[str], phrase: str) -> Slot | None:
    match = pattern.fullmatch(phrase)
    if match is None:
        return None
    words = {name.partition("_")[0]: text for name, text in match.groupdict().items() if text is not None}
    position = _CANONICAL_POSITIONS[words["position"]] if "position" in words else CENTRE
    return Slot(position, int(words["digit"]), words["colour"])
