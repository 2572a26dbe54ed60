import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data.captioned_images.captions import captions_in_cell, captions_in_text, tidy_captions
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.errors import MxqvaeError


def kinds(captions: list[str]) -> list[ProblemKind]:
    return [problem.kind for problem in tidy_captions("name", captions)[1]]


def test_white_space_and_control_characters():
    assert tidy_captions("name", ["  a\tdog\r\n runs\x00fast \x9f", "a dog runs fast"]) == (
        ["a dog runs fast"],
        [],
    )


def test_empty_captions():
    assert tidy_captions("name", ["", " \n", "x"])[0] == ["x"]
    assert kinds(["", " \n", "x"]) == [ProblemKind.EMPTY, ProblemKind.EMPTY]
    assert kinds([]) == []


def test_what_is_not_utf8_is_read_as_windows_1252():
    captions, problems = tidy_captions(
        "name", [b"caf\xe9 \x93so\x94 \x81".decode("utf-8", "surrogateescape")]
    )
    assert captions == ["café “so” �"]
    assert [problem.kind for problem in problems] == [ProblemKind.NOT_UTF8]
    assert tidy_captions("name", ["half \ud83d of a pair"])[0] == ["half � of a pair"]


@given(st.lists(st.text(st.characters())))
def test_what_comes_out_can_be_written(captions: list[str]):
    tidy, _ = tidy_captions("name", captions)
    for caption in tidy:
        assert caption.encode().decode() == caption == " ".join(caption.split()) != ""
    assert len(set(tidy)) == len(tidy)
    assert tidy_captions("name", tidy) == (tidy, [])


@pytest.mark.parametrize(
    ("content", "captions"),
    [
        (b"one\r\n\r\ntwo\n", ("one", "two")),
        (b"\xef\xbb\xbfone", ("one",)),
        ("größe\n".encode("utf-16"), ("größe",)),
        (b"gr\xf6\xdfe", ("gr\udcf6\udcdfe",)),
        (b"", ("",)),
        (b" \n", ("",)),
    ],
)
def test_text_files(content: bytes, captions: tuple[str, ...]):
    assert captions_in_text(content) == captions


def test_cells():
    assert captions_in_cell(None, "here") == ()
    assert captions_in_cell(["a", float("nan")], "here") == captions_in_cell("a", "here") == ("a",)
    assert captions_in_cell(b"a\xff", "here") == ("a\udcff",)
    assert captions_in_cell(["a", ["b", "c"]], "here") == ("a", "b", "c")
    assert captions_in_cell([{"raw": "a", "tokens": ["b"]}, None, ("c",)], "here") == ("a", "c")
    with pytest.raises(MxqvaeError, match="here: holds dict, not text"):
        captions_in_cell({"raw": 3}, "here")
    with pytest.raises(MxqvaeError, match="here: holds float, not text; name another with --caption-column"):
        captions_in_cell(["a", 0.5], "here")


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        (str(["a dog", "a dog's ball"]), ("a dog", "a dog's ball")),
        (str(['say "a"', 'b\'s "c"', "d\\n"]), ('say "a"', 'b\'s "c"', "d\\n")),
        (json.dumps(["größe", "two, three"]), ("größe", "two, three")),
        ("['a dog'\n 'a brown dog']", ("a dog", "a brown dog")),  # an array of NumPy
        (" ['one'] ", ("one",)),
        *((text, ()) for text in ("[]", "[ ]")),
        ("['']", ("",)),
        *((text, (text,)) for text in ("[a dog]", "a ['b']", "['a', 3]", "['a' + 'b']", "['a''b']")),
        *(
            (text, (text,))
            for text in ("['a\nb']", "['a", r"['\x']", "[dog] 'a'", "['a'" * 1000, "['\\" * 1000)
        ),
    ],
)
def test_lists_written_as_text(text: str, captions: tuple[str, ...]):
    assert captions_in_cell(text, "here") == captions


def test_lists_deeper_than_the_stack():
    cell: list[Any] = ["a"]
    for _ in range(10_000):
        cell = [cell]
    assert captions_in_cell(cell, "here") == ("a",)
