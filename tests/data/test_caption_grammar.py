import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.caption_grammar import (
    CENTRE,
    COLOURS,
    KINDS,
    POSITION_WORDS,
    QUADRANT_FORMS,
    QUADRANTS,
    Clause,
    ClauseForm,
    Slot,
    compose_caption,
    kind_of,
    parse_caption,
    replace_slots,
)

DIGITS = st.integers(0, 9)
COLOUR_NAMES = st.sampled_from(list(COLOURS))


@st.composite
def clause_lists(draw: st.DrawFn) -> list[Clause]:
    """Everything that the grammar can say."""
    if draw(st.booleans()):
        return [Clause(Slot(CENTRE, draw(DIGITS), draw(COLOUR_NAMES)), ClauseForm.SINGLE, "")]
    positions = draw(st.lists(st.sampled_from(QUADRANTS), min_size=1, max_size=4, unique=True))
    return [
        Clause(
            Slot(position, draw(DIGITS), draw(COLOUR_NAMES)),
            draw(st.sampled_from(QUADRANT_FORMS)),
            draw(st.sampled_from(POSITION_WORDS[position])),
        )
        for position in positions
    ]


@given(clause_lists())
def test_parsing_a_composed_caption_gives_its_slots(clauses: list[Clause]):
    caption = compose_caption(clauses)
    slots = tuple(clause.slot for clause in clauses)
    assert parse_caption(caption) == slots
    assert parse_caption(caption[0].lower() + caption[1:]) == slots
    assert caption[0].isupper()
    assert caption.endswith(".")
    assert kind_of(slots) == ("Single" if slots[0].position == CENTRE else f"Quad{len(slots)}")


@given(clause_lists(), st.data())
def test_replaced_slots_are_said_in_the_same_words(clauses: list[Clause], data: st.DataObject):
    replaced = [
        clause._replace(slot=clause.slot._replace(digit=data.draw(DIGITS), colour=data.draw(COLOUR_NAMES)))
        for clause in clauses
    ]
    slots = [clause.slot for clause in replaced]
    assert replace_slots(compose_caption(clauses), slots) == compose_caption(replaced)


@given(clause_lists(), st.data())
def test_a_caption_with_a_word_lost_or_doubled_is_refused(clauses: list[Clause], data: st.DataObject):
    words = compose_caption(clauses).split(" ")
    index = data.draw(st.integers(0, len(words) - 1))
    assert parse_caption(" ".join(words[:index] + words[index + 1 :])) is None
    assert parse_caption(" ".join([*words[:index], words[index], *words[index:]])) is None


@given(st.text())
def test_any_text_parses_or_gives_none(text: str):
    slots = parse_caption(text)
    assert slots is None or kind_of(slots) in KINDS


# The captions of the paper's authors, as far as they are public.
@pytest.mark.parametrize(
    ("caption", "slots"),
    [
        ("This is white 7.", [(CENTRE, 7, "white")]),
        ("The 6 on the lower right is blue.", [("lower right", 6, "blue")]),
        (
            "The green 0 is on the upper right, and the top left 8 is red.",
            [("upper right", 0, "green"), ("upper left", 8, "red")],
        ),
        (
            "the lower left 4 is blue, the red 0 is on the lower right, and the 2 on the top right is green.",
            [("lower left", 4, "blue"), ("lower right", 0, "red"), ("upper right", 2, "green")],
        ),
        (
            "The bottom left 1 is blue, the upper right 7 is white, the bottom right 0 is red, "
            "and the upper left 3 is green.",
            [
                ("lower left", 1, "blue"),
                ("upper right", 7, "white"),
                ("lower right", 0, "red"),
                ("upper left", 3, "green"),
            ],
        ),
    ],
)
def test_published_captions(caption: str, slots: list[tuple[str, int, str]]):
    assert parse_caption(caption) == tuple(Slot(*slot) for slot in slots)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        ".",
        "This is white 7",  # no full stop
        "This is white 7..",
        "This is white 17.",
        "This is pink 7.",
        "THis is white 7.",  # only the first letter's case is free
        "This is white 7, and this is red 3.",  # a Single clause stands alone
        "This is white 7, and the 6 on the lower right is blue.",
        "The 6 on the centre is blue.",
        "The 6 on the upper right is blue, the 7 on the lower right is red.",  # no "and"
        "And the 6 on the upper right is blue.",
        "The 6 on the upper right is blue, and the 7 on the top right is red.",  # a position named twice
        "The 6 on the upper right is blue, and the 7 on the lower right is red, and the top left 1 is red.",
        "The 6 on the upper right is blue. ",
        " The 6 on the upper right is blue.",
        "The 6 on the upper  right is blue.",
        "The 6 on the upper right is blue.\n",
        "The ٣ on the upper right is blue.",  # a digit, but not one of ours
    ],
)
def test_what_is_not_in_the_grammar(caption: str):
    assert parse_caption(caption) is None


def test_five_clauses_are_too_many():
    clauses = [
        Clause(Slot(position, 1, "red"), ClauseForm.POSITION_FIRST, position)
        for position in (*QUADRANTS, QUADRANTS[0])
    ]
    assert parse_caption(compose_caption(clauses)) is None
