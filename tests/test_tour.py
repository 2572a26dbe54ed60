"""docs/tour.md: what it shows is what its code prints."""

import doctest
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[1] / "docs" / "tour.md"


def test_the_tour_can_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    # Without the fences, which would count as output.
    text = "\n".join("" if line.startswith("```") else line for line in TOUR.read_text().splitlines())
    tour = doctest.DocTestParser().get_doctest(text, {}, "tour", str(TOUR), 0)
    assert len(tour.examples) > 30
    assert doctest.DocTestRunner().run(tour).failed == 0
    assert (tmp_path / "tour.png").stat().st_size > 10_000
