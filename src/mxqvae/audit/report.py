"""The report of an audit: one HTML file with everything in it, which opens without a network.

Without JavaScript all pairs are shown; with it they can be searched and cut off at a score, and pointing at a
word shows where the image contradicts it.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mxqvae.audit.regions import Region
from mxqvae.audit.score_table import DULL_BITS, ScoredPair
from mxqvae.output_file import new_output_file

NUM_HEAT_MAPS = 4
"""Words of a pair that have a heat map: those with the most bits."""
FULL_BITS = 10.0
"""A word with as many bits has the full colour."""
LEAST_HEAT = 2.0
"""The hottest region has the full colour if it takes as many bits away, and a paler one if it takes fewer."""
HEAT_COLOUR = (255, 140, 0)


class ReportedPair(NamedTuple):
    """A pair that is shown."""

    scored: ScoredPair
    """What the audit says of it."""
    image: np.ndarray
    """(H, W, 3) uint8."""
    heat: Sequence[Sequence[Sequence[float]]]
    """For each word the bits that go when a region is hidden, see `PairAuditor.heat_map`; empty where no word
    is warm."""
    regions: Sequence[Region] = ()
    """The regions that the heat was made of."""


def write_report(path: Path, pairs: Iterable[ReportedPair], lines: Sequence[str]) -> None:
    """Write the report, which appears whole or not at all.

    Args:
        pairs: In the order in which they are shown.
        lines: What stands above them.
    """
    with new_output_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        file.writelines(f"<p>{html.escape(line)}</p>\n" for line in lines)
        file.write(_CONTROLS)
        file.writelines(_card(pair) for pair in pairs)
        file.write(_FOOT)


def _card(pair: ReportedPair) -> str:
    scored = pair.scored
    maps = [
        f'<img class="heat" data-word="{number}" alt="" src="{_heat_image(pair.heat[number])}">'
        for number in scored.warm_words[:NUM_HEAT_MAPS]
    ]
    file, row, caption_number = scored.key
    place = f"{file}, row {row} (from 0)" + (f", caption {caption_number}" if caption_number else "")
    proposed = (
        f'<p class="new">{html.escape(scored.proposed_caption or "")}</p>' if scored.is_contradicted else ""
    )
    return (
        f'<article data-score="{scored.score or 0:.4f}"><div class="picture">'
        f'<img alt="" src="{_data_uri(pair.image)}">{"".join(maps)}</div><div>'
        f'<p class="old">{_coloured(scored)}</p>{proposed}'
        f'<p class="place"><b>{scored.score or 0:.1f} bits</b> · {html.escape(place)}</p></div></article>\n'
    )


def _coloured(scored: ScoredPair) -> str:
    """The caption, each word on the colour of its bits."""
    parts, end = [], 0
    caption = scored.caption
    for number, (word, bits) in enumerate(zip(scored.words or [], scored.word_scores or [], strict=True)):
        start = caption.index(word, end)
        share = min(1.0, bits / FULL_BITS) if bits >= DULL_BITS else 0.0
        parts += [
            html.escape(caption[end:start]),
            f'<span data-word="{number}" title="{bits:.2f} bits" style="--share:{share:.2f}">'
            f"{html.escape(word)}</span>",
        ]
        end = start + len(word)
    return "".join([*parts, html.escape(caption[end:])])


def _heat_image(heat: Sequence[Sequence[float]]) -> str:
    """A picture to lay over the image: the more a region contradicts the word, the less it lets through."""
    bits = np.array(heat)
    share = np.clip(bits / max(LEAST_HEAT, bits.max()), 0, 1)
    pixels = np.zeros((*share.shape, 4), np.uint8)
    pixels[..., :3] = HEAT_COLOUR
    pixels[..., 3] = np.round(190 * share)
    return _data_uri(pixels)


def _data_uri(pixels: np.ndarray) -> str:
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


_HEAD = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of image-caption pairs</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #222;
  max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } p { margin: .2rem 0; }
form { position: sticky; top: 0; z-index: 2; display: flex; gap: 1rem; flex-wrap: wrap; align-items: center;
  background: #fff; padding: .7rem 0; border-bottom: 1px solid #ddd; }
input[type=search] { font: inherit; min-width: 16rem; }
article { display: flex; gap: 1rem; padding: .8rem 0; border-bottom: 1px solid #eee; }
article[hidden] { display: none; }
.picture { position: relative; flex: none; width: 128px; height: 128px; }
.picture img { position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated; }
.picture .heat { image-rendering: auto; visibility: hidden; }
.picture .heat:nth-child(2), .picture .heat.shown { visibility: visible; }
.picture.pointed .heat:not(.shown) { visibility: hidden; }
.old span { background: rgb(220 30 30 / calc(var(--share) * .6)); border-radius: 3px; }
.new { color: #14692a; } .new::before { content: "→ "; }
.place { color: #777; font-size: .85rem; }
</style>
<h1>Audit of image-caption pairs</h1>
"""
_CONTROLS = """\
<p>Worst pairs first, by their bits: the more, the less a word fits the image. Red: words of a bit or more;
orange: the regions that contradict the worst of them (point at another word for its own); green: the caption
that is proposed instead, where there is one.</p>
<form onsubmit="return false">
<input type="search" id="search" placeholder="Search captions" aria-label="Search captions">
<label>At least <input type="range" id="least" min="0" max="100" step="0.5" value="0">
<output id="bits">0</output> bits</label>
<label><input type="checkbox" id="corrected"> only with a proposed caption</label>
<span id="count"></span>
</form>
<main>
"""
_FOOT = """\
</main>
<script>
const cards = [...document.querySelectorAll("article")];
const [search, least, bits, corrected, count] = ["search", "least", "bits", "corrected", "count"]
  .map(id => document.getElementById(id));
least.max = Math.ceil(Math.max(1, ...cards.map(card => Number(card.dataset.score))));
function show() {
  const text = search.value.trim().toLowerCase();
  let shown = 0;
  for (const card of cards) {
    card.hidden = Number(card.dataset.score) < Number(least.value)
      || !card.textContent.toLowerCase().includes(text)
      || (corrected.checked && !card.querySelector(".new"));
    shown += !card.hidden;
  }
  bits.value = least.value;
  count.textContent = shown + " of the " + cards.length + " worst pairs";
}
for (const control of [search, least, corrected]) control.addEventListener("input", show);
for (const card of cards) {
  const picture = card.querySelector(".picture");
  for (const word of card.querySelectorAll(".old span")) {
    const heat = picture.querySelector('.heat[data-word="' + word.dataset.word + '"]');
    word.addEventListener("pointerenter", () => {
      picture.classList.add("pointed");
      if (heat) heat.classList.add("shown");
    });
    word.addEventListener("pointerleave", () => {
      picture.classList.remove("pointed");
      if (heat) heat.classList.remove("shown");
    });
  }
}
show();
</script>
</html>
"""
