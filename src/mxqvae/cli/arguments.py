"""From the words after a command to a call of its function: flags, types and help come from its signature."""

import contextlib
import functools
import inspect
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.errors import MxqvaeError

LARGEST_TRAINING_SEED = 2**32 - 1
"""That of `TrainingConfig.seed`."""

# Flags that may be left out; what happens then stands in the help text of each.
FloatOrNone = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")]
IntOrNone = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
# Several seeds, `--seeds 0 1 2`; one alone is also `--seed 0`.
Seeds = Annotated[tuple[int, ...], tyro.conf.arg(aliases=("--seed",))]
# Several names; what none means stands in the help text.
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
# `--set FIELD=VALUE`, as often as there are fields to change.
Changes = Annotated[
    tuple[str, ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
]
PathOrNone = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
TextOrNone = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]


def parse(
    function: Callable[..., None], words: Sequence[str], arguments: Sequence[str]
) -> Callable[[], None] | None:
    """Read the arguments of one command.

    Args:
        function: The command; its keyword parameters are the flags, its docstring the help.
        words: The words that name the command, such as `("train", "prior")`.
        arguments: What was typed after them.

    Returns:
        The call that the arguments ask for, or None when help was asked for and printed.

    Raises:
        MxqvaeError: An unknown flag, a missing one, or a value of the wrong type.
    """
    # tyro would keep the source's line breaks: in the help of a flag, and before a quoted command.
    function.__doc__ = re.sub(r"(?<=\S)\n(?: {8,})?(?=\S)", " ", inspect.cleandoc(function.__doc__ or ""))

    @functools.wraps(function)
    def bind(**values: object) -> Callable[[], None]:
        return functools.partial(function, **values)

    name = " ".join(("mxqvae", *words))
    complaint, help_text = io.StringIO(), _Help()
    try:
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(help_text):
            return tyro.cli(bind, prog=name, args=list(arguments), config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as exit_request:
        if not exit_request.code:
            print(help_text.wrapped())
            return None
        raise MxqvaeError(f"{_one_line(complaint.getvalue())}; see `{name} --help`") from None


def asks_for_steps(changes: tuple[str, ...]) -> bool:
    """Whether `changes` set the number of steps."""
    return "num_steps" in {change.partition("=")[0].strip() for change in changes}


def at_least(minimum: int, **values: int | None) -> None:
    """Refuse numbers below `minimum`, by the name of their flag; None, a flag not given, passes.

    Raises:
        MxqvaeError: Such as `--num must be at least 1, got -3`.
    """
    for name, value in values.items():
        if value is not None and value < minimum:
            raise MxqvaeError(f"--{name.replace('_', '-')} must be at least {minimum}, got {value}")


def trains_with(seed: int | None) -> None:
    """Refuse a seed that training cannot take; None, a flag not given, passes.

    Raises:
        MxqvaeError: Such as `--seed must be at most 4294967295, got 4294967296`.
    """
    at_least(0, seed=seed)
    if seed is not None and seed > LARGEST_TRAINING_SEED:
        raise MxqvaeError(f"--seed must be at most {LARGEST_TRAINING_SEED}, got {seed}")


def writes(kind: str, suffix: str, **paths: Path | None) -> None:
    """Refuse names of files that do not end in `suffix`, by the name of their flag; None passes.

    Raises:
        MxqvaeError: Such as `--plot writes a PNG file; end its name in .png, not as in curve.jpg`.
    """
    for name, path in paths.items():
        if path is not None and path.suffix.lower() != suffix:
            raise MxqvaeError(f"--{name} writes a {kind} file; end its name in {suffix}, not as in {path}")


class _Help(io.StringIO):
    """Holds a help text, drawn with the colours and lines that the terminal has."""

    @property
    def encoding(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the terminal."""
        return sys.__stdout__ and sys.__stdout__.encoding

    def isatty(self) -> bool:
        """Whether it ends up on one."""
        return sys.__stdout__ is not None and sys.__stdout__.isatty()

    def wrapped(self) -> str:
        """The text with its paragraphs, which tyro puts on one line each, as wide as the terminal."""
        width = shutil.get_terminal_size().columns
        lines = self.getvalue().splitlines()
        return "\n".join(
            textwrap.fill(line, width, break_on_hyphens=False) if line[:1].isalpha() else line
            for line in lines
        )


def _one_line(complaint: str) -> str:
    """Take the box, the excerpt of the help and the line breaks off the parser's complaint."""
    paragraphs: list[list[str]] = [[]]
    for line in complaint.splitlines():
        text = line.strip("│ ")
        if re.fullmatch("─+", text):
            paragraphs.append([])
        elif text and not text.startswith(("╭", "╰")):
            paragraphs[-1].append(text)
    sentences = [" ".join(lines) for lines in paragraphs]
    kept = [s for s in sentences if s and not s.startswith(("Argument helptext", "For full helptext"))]
    text = "; ".join(kept).removeprefix("Error parsing ").rstrip(".")
    text = re.sub(r"invalid literal for int\(\) with base 10: ('.*')", r"takes a whole number, not \1", text)
    text = re.sub(r"could not convert string to float: ('.*')", r"takes a number, not \1", text)
    return text[:1].lower() + text[1:]
