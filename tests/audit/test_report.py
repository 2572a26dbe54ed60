import re
from pathlib import Path

import numpy as np
import pytest

from mxqvae.audit.report import ReportedPair, write_report
from mxqvae.audit.score_table import ScoredPair
from mxqvae.data.pair_source import PairKey

CAPTION = "Red <b>1</b> and red 1."
WORDS = ["Red", "<", "b", ">", "1", "<", "/", "b", ">", "and", "red", "1", "."]


@pytest.fixture
def report(tmp_path: Path) -> str:
    bits = [0.0] * len(WORDS)
    bits[4], bits[11] = 0.5, 12.0
    scored = ScoredPair(PairKey("data/a", 7, 0), CAPTION, 12.5, "1", "Red & 2.", WORDS, bits, None)
    heat = [[[0.0, 9.0], [-1.0, 99.0]]] * len(WORDS)
    pairs = [ReportedPair(scored, np.zeros((4, 4, 3), np.uint8), heat)]
    write_report(tmp_path / "report.html", pairs, ["1 of 1 pairs, <all>"])
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_it_needs_nothing_from_outside(report: str):
    assert not re.search(r"https?:|//\w|@import|<link|<iframe", report)
    sources = re.findall(r'src="([^"]*)"', report)
    assert len(sources) == 2  # the image, and the heat of the one word with bits
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"<script[^>]+src|url\(", report)


def test_texts_are_escaped(report: str):
    assert "<b>1</b>" not in report
    assert "1 of 1 pairs, &lt;all&gt;" in report
    assert '<p class="new">Red &amp; 2.</p>' in report


def test_words_have_the_colour_of_their_bits(report: str):
    spans = re.findall(
        r'<span data-word="(\d+)" title="([\d.]+) bits" style="--share:([\d.]+)">(.*?)</span>', report
    )
    assert len(spans) == len(WORDS)
    assert spans[4] == ("4", "0.50", "0.00", "1")
    assert spans[11] == ("11", "12.00", "1.00", "1")
    assert 'class="heat" data-word="11"' in report
    caption = re.search(r'<p class="old">(.*?)</p>', report)
    assert caption is not None
    assert re.sub(r"<[^>]+>", "", caption[1]) == "Red &lt;b&gt;1&lt;/b&gt; and red 1."


def test_pairs_carry_what_the_controls_ask_for(report: str):
    assert 'data-score="12.5000"' in report
    for control in ("search", "least", "corrected"):
        assert f'id="{control}"' in report
    assert "data/a, row 7" in report
