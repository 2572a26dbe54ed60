import io

import pytest

from mxqvae.progress import (
    LineProgress,
    NoProgress,
    Progress,
    TerminalProgress,
    format_duration,
    format_rate,
    progress_beside,
    progress_on,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(progress: Progress, done: int = 0) -> None:
    with progress.task("train prior", total=1000, unit="pairs", done=done) as advance:
        advance(100)
        advance(900 - done, note="loss 0.31")
    progress.say("written to runs/prior")


def test_plain_lines_tell_count_rate_time_left_and_note():
    stream = io.StringIO()
    run(LineProgress(stream, seconds_between=0))
    first, second, last, said = stream.getvalue().splitlines()
    assert first.startswith("train prior: 100 of 1,000 pairs, ")
    assert "pairs/s" in first
    assert first.endswith(" left")
    assert second.endswith("loss 0.31")
    assert last.startswith("train prior: 1,000 pairs in ")
    assert said == "written to runs/prior"


def test_plain_lines_are_rare():
    stream = io.StringIO()
    run(LineProgress(stream))
    assert len(stream.getvalue().splitlines()) == 2


def test_resumed_work_is_not_counted_in_the_rate():
    stream = io.StringIO()
    run(LineProgress(stream, seconds_between=0), done=500)
    assert "600 of 1,000" in stream.getvalue()
    assert "train prior: 500 pairs in " in stream.getvalue()


def test_terminal_shows_a_bar_with_rate_and_note(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    run(TerminalProgress(stream))
    text = stream.getvalue()
    for part in ("train prior", "100%", "1,000 pairs in ", "pairs/s", "loss 0.31", "written to runs/prior"):
        assert part in text


def test_no_progress_says_nothing(capsys: pytest.CaptureFixture[str]):
    run(NoProgress())
    assert capsys.readouterr() == ("", "")


def test_figures_for_machines_have_no_progress_beside_them():
    assert isinstance(progress_beside(json=True), NoProgress)
    assert not isinstance(progress_beside(json=False), NoProgress)


def test_the_stream_decides_the_form():
    assert isinstance(progress_on(Terminal()), TerminalProgress)
    assert isinstance(progress_on(io.StringIO()), LineProgress)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (9660, "2 h 41 min")],
)
def test_format_duration(seconds: float, text: str):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.123, "0.12 x/s"), (3.14, "3.1 x/s"), (1234.5, "1,234 x/s")])
def test_format_rate(rate: float, text: str):
    assert format_rate(rate, "x") == text
