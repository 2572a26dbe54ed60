import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mxqvae.evaluation.correlation import score_correlation
from mxqvae.generation.pipeline import load_autoencoder, load_tokenizer

Run = Callable[..., tuple[int, str, str]]
COMMAND = ("evaluate", "correlation")


def test_json_and_file_hold_the_whole_score(
    run: Run, tiny_model: Path, degree_sets_small: Path, tmp_path: Path
):
    out = tmp_path / "results" / "score.json"
    code, printed, err = run(
        *COMMAND, "--data", degree_sets_small, "--weights", tiny_model, "--out", out, "--json"
    )
    assert (code, err) == (0, "")
    score = score_correlation(
        load_autoencoder(tiny_model / "autoencoder"), load_tokenizer(tiny_model), degree_sets_small
    )
    assert json.loads(printed) == json.loads(out.read_text()) == dataclasses.asdict(score)


def test_the_table_and_both_pictures(run: Run, tiny_model: Path, degree_sets_small: Path, tmp_path: Path):
    plot, sheet = tmp_path / "plot.png", tmp_path / "sheet.PNG"
    code, out, _ = run(
        *COMMAND,
        *("--data", degree_sets_small),
        *("--weights", tiny_model),
        *("--num", 3),
        *("--plot", plot),
        *("--sheet", sheet),
    )
    assert code == 0
    for part in ("Quad1, words", "Quad4, slots", "ideal", "slots of the image", "Distance", "Other words"):
        assert part in out
    poster = next(line.split() for line in out.splitlines() if "poster" in line)
    assert poster == ["MXQ-VAE,", "poster", "0.969", "0.729", "0.489", "0.248", "0.009", "0.015"]
    for path in (plot, sheet):
        with Image.open(path) as image:
            assert image.format == "PNG"


def test_matplotlib_is_asked_for_by_plots_only(
    run: Run, tiny_model: Path, degree_sets_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "mxqvae.evaluation.correlation_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    arguments = (*COMMAND, "--data", degree_sets_small, "--weights", tiny_model, "--num", 1)
    assert run(*arguments)[0] == 0
    code, out, err = run(*arguments, "--plot", tmp_path / "plot.png")
    assert (code, out) == (2, "")
    assert err.endswith("run `pip install 'mxqvae[plots]'`\n")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--num", 0), "--num must be at least 1, got 0"),
        (("--plot", "plot.svg"), "--plot writes a PNG file; end its name in .png, not as in plot.svg"),
        (("--sheet", "sheet"), "--sheet writes a PNG file; end its name in .png, not as in sheet"),
        (("--weights", "nowhere/at/all"), "weights 'nowhere/at/all': no such folder, nor a Hugging Face"),
    ],
)
def test_bad_input_is_named(
    run: Run, degree_sets_small: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
):
    out = tmp_path / "score.json"
    code, printed, err = run(*COMMAND, "--data", degree_sets_small, "--out", out, *arguments)
    assert (code, printed) == (2, "")
    assert err.startswith(f"mxqvae: error: {message}")
    assert err.count("\n") == 1
    assert not out.exists()


def test_another_data_set_is_named(run: Run, tiny_model: Path, caption_mnist_small: Path):
    code, _, err = run(*COMMAND, "--data", caption_mnist_small, "--weights", tiny_model, "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert "no Degree sets in it; build them with `mxqvae data degree`, of photos" in err
