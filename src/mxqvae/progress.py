"""Progress of long jobs: done, rate and time left, on standard error.

A job receives a `Progress` and opens one task for each phase; it does not know where the figures go:

    with progress.task("render train pairs", total=60_000, unit="pairs") as advance:
        advance(64, note="loss 0.31")

A terminal gets a live bar, a file or pipe gets a plain line now and then, and `NoProgress` says nothing.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Task

SECONDS_BETWEEN_LINES = 30.0


class Advance(Protocol):
    """Report that `count` more units are done, with an optional note such as the current loss."""

    def __call__(self, count: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Where a job says how far it is."""

    def task(
        self, description: str, *, total: int, unit: str, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Open one phase of `total` units, of which a resumed job has `done` behind it."""
        ...

    def say(self, text: str) -> None:
        """Write one line that stays, such as where a checkpoint was written."""
        ...


class NoProgress:
    """Says nothing: the default of library calls, and of `--json`."""

    @contextmanager
    def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Open a phase that nobody watches."""
        yield lambda count=1, note="": None

    def say(self, text: str) -> None:
        """Drop the line."""


class LineProgress:
    """Plain lines, at most one every `seconds_between` and one at the end of each task."""

    def __init__(self, stream: TextIO, seconds_between: float = SECONDS_BETWEEN_LINES) -> None:
        self.stream = stream
        self.seconds_between = seconds_between

    @contextmanager
    def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Open a phase; its last line gives the time taken and the mean rate."""
        start = last_line = time.monotonic()
        num_new = 0

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal num_new, last_line
            num_new += count
            now = time.monotonic()
            if now - last_line < self.seconds_between:
                return
            last_line = now
            now_done = done + num_new
            figures = _figures_of_running(total - now_done, num_new / (now - start), unit)
            note = f", {note}" if note else ""
            self.say(f"{description}: {now_done:,} of {total:,} {unit}, {figures}{note}")

        yield advance
        self.say(f"{description}: {_figures_of_finished(num_new, time.monotonic() - start, unit)}")

    def say(self, text: str) -> None:
        """Write the line at once, so that a log can be followed."""
        print(text, file=self.stream, flush=True)


class TerminalProgress:
    """A live bar with rate, time left and the latest note."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.console = Console(file=stream)

    @contextmanager
    def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Open a phase; its bar stays on the screen, with the time taken, when it ends."""
        from rich.progress import BarColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        class FiguresColumn(ProgressColumn):
            """Rate over the last half minute and time left; at the end, those of the whole task."""

            def render(self, task: "Task") -> Text:
                if task.finished:
                    return Text(_figures_of_finished(total - done, task.finished_time or 0.0, unit))
                return Text(_figures_of_running(total - round(task.completed), task.speed or 0.0, unit))

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:3.0f}%"),
            FiguresColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        # Two redraws a second: training leaves no spare core for more.
        with Bars(*columns, console=self.console, refresh_per_second=2) as bars:
            bar = bars.add_task(description, total=total, completed=done, note="")

            def advance(count: int = 1, note: str = "") -> None:
                if note:
                    bars.update(bar, advance=count, note=note)
                else:
                    bars.advance(bar, count)

            yield advance

    def say(self, text: str) -> None:
        """Print the line above a live bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def progress_on(stream: TextIO | None = None) -> Progress:
    """Return the progress that suits `stream` (standard error): a bar on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if stream is None:  # a windowed Python has no standard error
        return NoProgress()
    return TerminalProgress(stream) if stream.isatty() else LineProgress(stream)


def progress_beside(*, json: bool) -> Progress:
    """Of a command that prints its figures: silent where they are JSON, for machines."""
    return NoProgress() if json else progress_on()


def format_rate(rate: float, unit: str) -> str:
    """Write a rate in units per second, with a decimal only where it says something."""
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"


def format_duration(seconds: float) -> str:
    """Write a time in its two largest units: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 41 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole_seconds:02d} s" if minutes else f"{whole_seconds} s"


def _figures_of_running(num_left: int, rate: float, unit: str) -> str:
    if rate <= 0:
        return ""
    return f"{format_rate(rate, unit)}, {format_duration(num_left / rate)} left"


def _figures_of_finished(num_done: int, seconds: float, unit: str) -> str:
    rate = format_rate(num_done / max(seconds, 1e-9), unit)
    return f"{num_done:,} {unit} in {format_duration(seconds)}, {rate}"
