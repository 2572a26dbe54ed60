from pathlib import Path
from typing import Annotated

import pytest
import tyro

from mxqvae.cli.arguments import at_least, parse, writes
from mxqvae.errors import MxqvaeError

called: list[tuple[object, ...]] = []


def draw(
    folder: tyro.conf.Positional[Path], *, num: int = 64, top_k: int | None = None, json: bool = False
) -> None:
    """Draw pairs.

    Args:
        folder: Where they go.
        num: How many.
        top_k: Likeliest codes.
        json: Print JSON.
    """
    called.append((folder, num, top_k, json))


def complaint(*arguments: str) -> str:
    with pytest.raises(MxqvaeError) as caught:
        parse(draw, ("draw",), arguments)
    return str(caught.value)


def test_the_call_is_bound_but_not_made():
    called.clear()
    call = parse(draw, ("draw",), ["out", "--num", "3", "--top-k", "5", "--json"])
    assert called == []
    assert call is not None
    call()
    assert called == [(Path("out"), 3, 5, True)]


def wordy(*, num: int = 64) -> None:
    """Draw pairs,
    more than one.

    Each is drawn
    by itself.

    Args:
        num: How many of them are wanted
            in the end.
    """


def test_help_is_as_wide_as_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for columns, parts in (
        (120, ("Draw pairs, more than one.\n", "Each is drawn by itself.\n", "are wanted in the end.")),
        (22, ("Draw pairs, more than\none.\n", "Each is drawn by\nitself.\n")),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert parse(wordy, ("wordy",), ["--help"]) is None
        out = capsys.readouterr().out
        assert all(part in out for part in parts)


def test_help_is_printed_and_nothing_is_bound(capsys: pytest.CaptureFixture[str]):
    assert parse(draw, ("draw",), ["--help"]) is None
    out = capsys.readouterr().out
    assert "usage: mxqvae draw" in out
    assert "Likeliest codes" in out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["out", "--bogus"], ["unrecognized options: --bogus", "see `mxqvae draw --help`"]),
        (["out", "--num", "many"], ["--num: takes a whole number, not 'many'"]),
        (["out", "--num", "3.5"], ["--num", "'3.5'"]),
        (["out", "--num"], ["--num"]),
        (["out", "extra"], ["extra"]),
        ([], ["missing", "PATH"]),
    ],
)
def test_the_parser_complains_in_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
):
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        text = complaint(*arguments)
        for part in parts:
            assert part in text
        assert "\n" not in text
        assert not set("│╭╰─") & set(text)


def test_repeated_flags_are_collected():
    def train(*, changes: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()) -> None:
        called.append(changes)

    called.clear()
    call = parse(train, ("train",), ["--changes", "a=1", "--changes", "b=2"])
    assert call is not None
    call()
    assert called == [("a=1", "b=2")]


def test_at_least_names_the_flag():
    at_least(1, num=1, top_k=None)
    with pytest.raises(MxqvaeError, match=r"^--top-k must be at least 1, got -3$"):
        at_least(1, num=1, top_k=-3)


def test_files_of_another_kind_are_refused():
    writes("PNG", ".png", plot=Path("curve.PNG"), sheet=None)
    with pytest.raises(MxqvaeError) as caught:
        writes("PNG", ".png", plot=None, sheet=Path("curve.jpg"))
    assert str(caught.value) == "--sheet writes a PNG file; end its name in .png, not as in curve.jpg"
