import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from mxqvae.data.degree import DEGREE_KINDS, degrees_of
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.correlation import (
    POSTER_ROWS,
    CorrelationScore,
    DegreeScore,
    KindCorrelation,
    MeanShare,
    summarise_degrees,
)
from mxqvae.evaluation.correlation_plot import draw_correlation, write_correlation_plot


def kind_of_line(kind: str, at_full: float, at_none: float) -> KindCorrelation:
    """Words on a straight line between two shares, slots a tenth below."""
    num = degrees_of(kind)[0]
    scores = []
    for degree in degrees_of(kind):
        mean = at_none + (at_full - at_none) * degree / num
        words, slots = (MeanShare(mean=share, standard_error=0.01) for share in (mean, 0.9 * mean))
        scores.append(
            DegreeScore(
                degree=degree,
                num_pairs=100,
                ideal=degree / num,
                words=words,
                slots=slots,
                image_slots=slots,
                other_words=1.0,
            )
        )
    return summarise_degrees(scores)


def score_of_line(at_full: float, at_none: float) -> CorrelationScore:
    return CorrelationScore(kinds={kind: kind_of_line(kind, at_full, at_none) for kind in DEGREE_KINDS})


OURS, WITHOUT_IM = score_of_line(1.0, 0.02), score_of_line(0.9, 0.5)


def lines(axes: Axes) -> dict[str, np.ndarray]:
    """The drawn points (number, 2) by label; error bars count for their line."""
    drawn = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
    drawn |= {str(bars.get_label()): np.asarray(bars[0].get_xydata()) for bars in axes.containers}
    return {label: points for label, points in drawn.items() if not label.startswith("_")}


def test_every_panel_shows_what_its_title_says():
    figure = draw_correlation({"MXQ-VAE": OURS, "w/o IM": WITHOUT_IM}, {})
    words, slots = figure.axes[:4], figure.axes[4:]
    assert [axes.get_title() for axes in words] == list(DEGREE_KINDS)
    for measure, panels in (("words", words), ("slots", slots)):
        assert panels[0].get_ylabel() == f"{measure} that come back"
        for axes, kind in zip(panels, DEGREE_KINDS, strict=True):
            drawn = lines(axes)
            assert drawn.keys() == {"ideal", "MXQ-VAE", "w/o IM"}
            for name, score in (("MXQ-VAE", OURS), ("w/o IM", WITHOUT_IM)):
                expected = [
                    (degree.degree, getattr(degree, measure).mean) for degree in score.kinds[kind].degrees
                ]
                np.testing.assert_allclose(drawn[name], expected)
            np.testing.assert_allclose(drawn["ideal"], [(0, 0), (degrees_of(kind)[0], 1)])


def test_the_poster_s_rows_are_dashed_and_in_quad4_only():
    poster = {row: POSTER_ROWS[row] for row in ("MXQ-VAE", "Only Sharing C")}
    figure = draw_correlation({"MXQ-VAE": OURS}, poster)
    for axes in figure.axes:
        of_poster = {
            str(line.get_label()): line for line in axes.get_lines() if "poster" in str(line.get_label())
        }
        if axes not in (figure.axes[3], figure.axes[7]):
            assert not of_poster
            continue
        assert of_poster.keys() == {"MXQ-VAE, poster", "Only Sharing C, poster"}
        assert {line.get_linestyle() for line in of_poster.values()} == {"--"}
        np.testing.assert_allclose(lines(axes)["MXQ-VAE, poster"][0], (4, 0.969))
        ours = next(iter(axes.containers))[0].get_color()
        assert of_poster["MXQ-VAE, poster"].get_color() == ours
        assert of_poster["Only Sharing C, poster"].get_color() != ours


def test_rows_that_coincide_are_both_seen():
    figure = draw_correlation({"MXQ-VAE": OURS, "w/o TC": OURS, "w/o IM": WITHOUT_IM}, {})
    for axes in figure.axes:
        drawn = [bars[0] for bars in axes.containers]
        widths, sizes = ([line.get_linewidth() for line in drawn], [line.get_markersize() for line in drawn])
        assert [line.get_zorder() for line in drawn] == [drawn[0].get_zorder()] * 3  # in order, so
        assert widths == sorted(set(widths), reverse=True)
        assert sizes == sorted(set(sizes), reverse=True)
        assert len({line.get_marker() for line in drawn}) == 3
        assert {line.get_markerfacecolor() for line in drawn} == {"none"}


def test_the_legend_names_every_line_once():
    figure = draw_correlation({"MXQ-VAE": OURS, "w/o IM": WITHOUT_IM}, {"MXQ-VAE": POSTER_ROWS["MXQ-VAE"]})
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["ideal", "MXQ-VAE", "w/o IM", "MXQ-VAE, poster"]


def test_the_file_is_a_png_made_without_pyplot(tmp_path: Path):
    write_correlation_plot(tmp_path / "made" / "plot.png", {"MXQ-VAE": OURS}, {})
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["plot.png"]
    with Image.open(tmp_path / "made" / "plot.png") as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).min() < 128
    assert "matplotlib.pyplot" not in sys.modules


def test_a_missing_matplotlib_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "mxqvae.evaluation.correlation_plot")
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(MxqvaeError, match=r"plots need matplotlib .*`pip install 'mxqvae\[plots\]'`"):
        import mxqvae.evaluation.correlation_plot  # noqa: F401
