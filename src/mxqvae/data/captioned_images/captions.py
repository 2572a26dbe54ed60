"""Tidies captions as found: white space, control characters, and bytes that are not UTF-8."""

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from mxqvae.data.captioned_images.problems import Problem, ProblemKind
from mxqvae.errors import MxqvaeError

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_MAX_QUOTED = 60
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_WRITTEN_LIST = re.compile(rf"\[\s*(?:{_QUOTED}(?:(?:\s*,\s*|\s+){_QUOTED})*)?\s*\]", re.DOTALL)
"""A list of texts as pandas writes it to CSV, or an array of NumPy, which has no commas."""


def tidy_captions(name: str, captions: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Make captions of one image presentable: one line each, single spaces, none twice, none empty.

    Args:
        name: Of the pair, for the problems.
        captions: As `SourcePair.captions`.
    """
    tidy: dict[str, None] = {}
    problems = []
    for caption in captions:
        if _SURROGATE.search(caption):
            caption = _without_surrogates(caption)
            problems.append(Problem(ProblemKind.NOT_UTF8, name, caption[:_MAX_QUOTED]))
        caption = " ".join(_CONTROL.sub(" ", caption).split())
        if caption:
            tidy[caption] = None
        else:
            problems.append(Problem(ProblemKind.EMPTY, name))
    return list(tidy), problems


def captions_in_text(content: bytes) -> tuple[str, ...]:
    """The captions of a text file, one a line; a file without text is one empty caption."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", "replace")  # what Windows once called Unicode
    else:
        text = content.decode("utf-8-sig", "surrogateescape")
    lines = tuple(line for line in text.splitlines() if line.strip())
    return lines or ("",)


def captions_in_cell(cell: Any, where: str) -> tuple[str, ...]:
    """The captions in a cell of a table: a text, a list of them, also one written as a text, or none.

    Raises:
        MxqvaeError: The cell holds something else; `where` names it.
    """
    captions: list[str] = []
    waiting = [cell]  # not a recursion: JSON may hold lists deeper than Python's stack
    while waiting:
        match waiting.pop():
            case None:
                pass
            case float(number) if math.isnan(number):  # a gap, as pandas writes it
                pass
            case str(text):
                written = _written_list(text)
                captions += [text] if written is None else written
            case bytes(content):
                captions.append(content.decode("utf-8", "surrogateescape"))
            case {"raw": str(text)}:  # Karpathy's files: {"raw": ..., "tokens": ...}
                captions.append(text)
            case list(parts) | tuple(parts):
                waiting += reversed(parts)
            case other:
                kind = type(other).__name__
                raise MxqvaeError(f"{where}: holds {kind}, not text; name another with --caption-column")
    return tuple(captions)


def _written_list(text: str) -> list[str] | None:
    if not _WRITTEN_LIST.fullmatch(text.strip()):
        return None
    try:
        return [ast.literal_eval(quoted) for quoted in re.findall(_QUOTED, text, re.DOTALL)]
    except (SyntaxError, ValueError):  # such as a line break between quotes
        return None


def _without_surrogates(caption: str) -> str:
    """Read escaped bytes as Windows-1252, which Western text that is not UTF-8 most often is."""
    # Halves of surrogate pairs, from broken JSON escapes, stand for nothing.
    caption = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", caption)
    return re.sub(
        "[\udc80-\udcff]+",
        lambda match: match[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace"),
        caption,
    )
