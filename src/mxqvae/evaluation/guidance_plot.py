"""Draws consistency against diversity, a point for each guidance.

Importing this module takes matplotlib, the extra `plots`; only those who ask for a plot import it.
"""

from pathlib import Path

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.correlation_plot import COLOURS, DPI, GREY
from mxqvae.evaluation.guidance_curve import GuidanceCurve
from mxqvae.output_file import new_output_file

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MxqvaeError(f"plots need matplotlib ({error}); run `pip install 'mxqvae[plots]'`") from None


def write_guidance_plot(path: Path, curve: GuidanceCurve) -> None:
    """Write `draw_guidance` as a PNG file, whole or not at all."""
    with new_output_file(path) as partial:
        draw_guidance(curve).savefig(partial, format="png", dpi=DPI)


def draw_guidance(curve: GuidanceCurve) -> Figure:
    """Draw the share of images that are right, with its 95% interval, over their diversity.

    A guidance with which no place is right with both seeds has no diversity, and no point.
    """
    points = [point for point in curve.points if point.images.diversity is not None]
    shares = [point.images.right.consistent for point in points]
    diversities = [point.images.diversity or 0.0 for point in points]
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(curve.ceiling.consistent.rate, color=GREY, linewidth=1, label="real pairs")
    axes.errorbar(
        diversities,
        [share.rate for share in shares],
        [[share.rate - share.low for share in shares], [share.high - share.rate for share in shares]],
        color=COLOURS[0],
        marker="o",
        markersize=4,
        capsize=2,
        label=f"guidance, {curve.num_pairs:,} captions",
    )
    for point, diversity, share in zip(points, diversities, shares, strict=True):
        axes.annotate(
            f"{point.guidance:g}", (diversity, share.rate), xytext=(5, 5), textcoords="offset points"
        )
    axes.set_xlabel("distance of two seeds' digits, of that of real digits of a class")
    axes.set_ylabel("images that show what the caption says")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
