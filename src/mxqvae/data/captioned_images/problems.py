"""What can be wrong with an image or a caption, what is done about it, and how often it was met."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TextIO

from mxqvae.config import configuration
from mxqvae.errors import MxqvaeError

NUM_EXAMPLES = 5
"""File names of each kind that the manifest holds; `problems.jsonl` holds all."""


class ProblemKind(Enum):
    """A kind of problem, and what is done about it."""

    MISSING = (
        "image file is missing",
        "left out: name files with their endings, or their folder with --images",
    )
    UNNAMED = ("image lies beside a list that does not name it", "left out: add a line for it")
    BROKEN = ("image is damaged or of an unknown format", "left out")
    HEIC = ("image is HEIC, a format of phones", "left out: pip install 'mxqvae[heic]'")
    GIGANTIC = ("image has too many pixels to decode safely", "left out")
    TINY = ("image is far smaller than asked for", "left out")
    ANIMATED = ("image has several frames", "first frame taken")
    TRANSPARENT = ("image is partly transparent", "laid on white")
    CMYK = ("image has the colours of print, CMYK", "converted to RGB")
    DEEP = ("image has 16 bits a channel", "reduced to 8")
    ROTATED = ("image is stored turned, as EXIF says", "turned upright")
    DUPLICATE = ("image has the same pixels as another", "captions put together")
    IN_TWO_SPLITS = ("image is in another published split too", "kept in both")
    EMPTY = ("caption is empty", "left out")
    NOT_UTF8 = ("caption is not UTF-8", "read as Windows-1252")
    CUT = ("caption is longer than the tokenizer's length", "cut in training")

    def __init__(self, title: str, remedy: str) -> None:
        self.title = title
        """What is wrong, in words."""
        self.remedy = remedy
        """What is done about it."""

    @property
    def key(self) -> str:
        """Its name in files, such as "not_utf8"."""
        return self.name.lower()


class Problem(NamedTuple):
    """One problem that was met."""

    kind: ProblemKind
    name: str
    """Of the pair."""
    detail: str = ""
    """What `kind` does not say, such as the size in pixels."""


@configuration
class ProblemCount:
    """How often one kind was met."""

    num: int
    """Images or captions."""
    examples: tuple[str, ...]
    """The first names."""


class ProblemLog:
    """Counts problems, and writes each to a file; see `open_problem_log`."""

    def __init__(self, file: TextIO, strict: bool) -> None:
        self._file = file
        self._strict = strict
        self._nums = dict.fromkeys(ProblemKind, 0)
        self._examples: dict[ProblemKind, list[str]] = {kind: [] for kind in ProblemKind}

    def add(self, problem: Problem) -> None:
        """Note a problem.

        Raises:
            MxqvaeError: The log is strict.
        """
        kind, name, detail = problem
        if self._strict:
            said = f"{kind.title} ({detail})" if detail else kind.title
            raise MxqvaeError(f"{name}: {said}; fix it, or leave out --strict (then: {kind.remedy})")
        self._nums[kind] += 1
        if len(self._examples[kind]) < NUM_EXAMPLES:
            self._examples[kind].append(name)
        line = {"kind": kind.key, "name": name, "detail": detail}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def counts(self) -> dict[str, ProblemCount]:
        """What was met so far, by key; kinds that were not are left out."""
        return {
            kind.key: ProblemCount(num=num, examples=tuple(self._examples[kind]))
            for kind, num in self._nums.items()
            if num
        }


@contextmanager
def open_problem_log(path: Path, *, strict: bool) -> Iterator[ProblemLog]:
    """Open a log that writes a JSON line for each problem to `path`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield ProblemLog(file, strict)
