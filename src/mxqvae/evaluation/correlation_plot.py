"""Draws Table 1: score against degree, with the ideal line and the poster's rows.

Importing this module takes matplotlib, the extra `plots`; only those who ask for a plot import it.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mxqvae.data.degree import degrees_of
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import CONFIDENCE_Z
from mxqvae.evaluation.correlation import POSTER_KIND, CorrelationScore, DegreeScore, MeanShare
from mxqvae.output_file import new_output_file

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MxqvaeError(f"plots need matplotlib ({error}); run `pip install 'mxqvae[plots]'`") from None

# Told apart by colour-blind eyes too (Okabe and Ito 2008), without its yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
"""By score; hollow, so that one mark shows inside another."""
GREY = "#888888"
DPI = 150
MEASURES: dict[str, Callable[[DegreeScore], MeanShare]] = {
    "words that come back": lambda score: score.words,
    "slots that come back": lambda score: score.slots,
}
"""Label → what is drawn in each row of panels."""


def write_correlation_plot(
    path: Path, scores: Mapping[str, CorrelationScore], poster: Mapping[str, Sequence[float]]
) -> None:
    """Write `draw_correlation` as a PNG file, whole or not at all."""
    with new_output_file(path) as partial:
        draw_correlation(scores, poster).savefig(partial, format="png", dpi=DPI)


def draw_correlation(scores: Mapping[str, CorrelationScore], poster: Mapping[str, Sequence[float]]) -> Figure:
    """Draw models side by side: a column of panels for each kind, above per word, below per slot.

    Args:
        scores: By name, at least one; lines with 95% intervals. Each is thinner than the one before and lies
            upon it, so that both are seen where they coincide.
        poster: Rows of the poster by name, at degree 4 to 0 of Quad4; dashed, in the colour of the score of
            the same name. The poster does not say whether its rows are per word or per slot: both panels.
    """
    kinds = list(next(iter(scores.values())).kinds)
    colours = dict(zip(dict.fromkeys([*scores, *poster]), itertools.cycle(COLOURS), strict=False))
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = figure.subplots(
        len(MEASURES),
        len(kinds),
        sharex="col",
        sharey=True,
        squeeze=False,
        width_ratios=[len(degrees_of(kind)) for kind in kinds],
    )
    for row, (label, measure) in zip(panels, MEASURES.items(), strict=True):
        row[0].set_ylabel(label)
        for axes, kind in zip(row, kinds, strict=True):
            _draw_frame(axes, kind)
            for number, (name, score) in enumerate(scores.items()):
                look = _Look(colours[name], MARKERS[number % len(MARKERS)], len(scores) - 1 - number)
                _draw_score(axes, name, score.kinds[kind].degrees, measure, look)
            if kind == POSTER_KIND:
                for name, shares in poster.items():
                    _draw_poster(axes, _poster_label(name), shares, colours[name])
    for axes, kind in zip(panels[0], kinds, strict=True):
        axes.set_title(kind)
    figure.supxlabel("degree: slots of the caption that are true of the image", fontsize="medium")
    handles, labels = panels[0][-1].get_legend_handles_labels()
    drawn = dict(zip(labels, handles, strict=True))
    order = [label for label in ("ideal", *scores, *map(_poster_label, poster)) if label in drawn]
    figure.legend(
        [drawn[label] for label in order], order, loc="outside upper center", ncols=5, frameon=False
    )
    return figure


class _Look(NamedTuple):
    """How a score is drawn."""

    colour: str
    marker: str
    num_above: int  # scores that are drawn after it, upon it


def _poster_label(row: str) -> str:
    return f"{row}, poster"


def _draw_frame(axes: Axes, kind: str) -> None:
    most = degrees_of(kind)[0]
    axes.plot([0, most], [0, 1], color=GREY, linewidth=1, label="ideal")
    axes.set_xticks(range(most + 1))
    axes.set_xlim(-0.3, most + 0.3)
    axes.set_ylim(-0.04, 1.04)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_score(
    axes: Axes,
    name: str,
    degrees: Sequence[DegreeScore],
    measure: Callable[[DegreeScore], MeanShare],
    look: _Look,
) -> None:
    shares = [measure(score) for score in degrees]
    axes.errorbar(
        [score.degree for score in degrees],
        [share.mean for share in shares],
        [CONFIDENCE_Z * (share.standard_error or 0.0) for share in shares],
        color=look.colour,
        marker=look.marker,
        markersize=4 + 1.5 * look.num_above,
        markerfacecolor="none",
        linewidth=1 + look.num_above,
        elinewidth=1.2,
        capsize=2,
        label=name,
    )


def _draw_poster(axes: Axes, name: str, shares: Sequence[float], colour: str) -> None:
    degrees = degrees_of(POSTER_KIND)
    axes.plot(degrees, shares, color=colour, linestyle="--", marker="x", markersize=4, label=name)
