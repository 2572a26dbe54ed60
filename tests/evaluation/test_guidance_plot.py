from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mxqvae.evaluation.completion import ImagesFound
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.evaluation.guidance_curve import GuidanceCurve, GuidancePoint
from mxqvae.evaluation.guidance_plot import draw_guidance, write_guidance_plot


def curve_of(score_of: Callable[..., ConsistencyScore], *points: tuple[float, float, float | None]):
    """A curve through (guidance, share right, diversity)."""
    return GuidanceCurve(
        num_pairs=20,
        points=tuple(
            GuidancePoint(
                guidance=guidance,
                images=ImagesFound(
                    right=score_of(Single=share),
                    num_distances=9,
                    distance=diversity,
                    real_distance=1.0,
                    diversity=diversity,
                ),
            )
            for guidance, share, diversity in points
        ),
        ceiling=score_of(Single=0.95),
    )


def test_points_stand_where_they_were_measured(score_of: Callable[..., ConsistencyScore]):
    curve = curve_of(score_of, (1, 0.6, 0.9), (1.5, 0.8, 0.8), (9, 0, None))
    (axes,) = draw_guidance(curve).axes
    (bars,) = axes.containers
    np.testing.assert_allclose(np.asarray(bars[0].get_xydata()), [(0.9, 0.6), (0.8, 0.8)])
    assert [text.get_text() for text in axes.texts] == ["1", "1.5"]
    ceiling = axes.get_lines()[0]
    assert set(np.asarray(ceiling.get_ydata()).tolist()) == {0.95}


def test_the_file_is_a_picture(score_of: Callable[..., ConsistencyScore], tmp_path: Path):
    write_guidance_plot(tmp_path / "curve.png", curve_of(score_of, (1, 0.6, 0.9)))
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
