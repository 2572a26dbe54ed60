import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.cli.reconstruction import PERCEPTUAL_REMARK
from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.data.mnist import Mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation import image_quality
from mxqvae.evaluation.image_quality import ImageQualityScore, SetDistance
from mxqvae.generation.sample_folder import write_sample_folder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def data(mnist_sample: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 12 pairs a split."""
    folder = tmp_path_factory.mktemp("data") / "few"
    build_caption_mnist(CaptionMnistConfig(num_train=12, num_test=12), mnist_sample, folder)
    return folder


def test_json_and_file_hold_the_whole_score(run: Run, data: Path, tmp_path: Path):
    out, samples = tmp_path / "score.json", tmp_path / "samples"
    write_sample_folder([PairDataset.from_parquet(data, "test")], samples, seed=0)
    code, printed, err = run(
        "evaluate", "reconstruction", "--data", data, "--samples", samples, "--out", out, "--json"
    )
    assert (code, err) == (0, "")
    score = json.loads(printed)
    assert json.loads(out.read_text()) == score
    assert score["num_images"] == 12
    assert score["psnr"] > 18  # the shipped weights know these images' kind
    assert 0.8 < score["ssim"] < 1
    assert score["samples"]["frechet_distance"] < 1e-6  # they are the real images
    assert score["reconstructed"]["frechet_distance"] > score["samples"]["frechet_distance"]


def test_the_table_tells_the_feature_space(
    run: Run, tiny_model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = run("evaluate", "reconstruction", "--data", data, "--weights", tiny_model)
    assert code == 0
    for part in ("Reconstructed", "PSNR, dB", "SSIM", "Frechet distance", "EfficientNet-Lite0"):
        assert part in out
    assert "Samples" not in out
    assert "features of real images: 12 images" in err


@pytest.mark.parametrize("weight", [0.0, 0.2])
def test_a_distance_that_the_loss_favours_says_so(
    run: Run, tiny_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float
):
    weights = tmp_path / "model"
    shutil.copytree(tiny_model, weights)
    config = weights / "autoencoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"perceptual_weight": weight}))
    distance = SetDistance(num_images=12, num_real=12, frechet_distance=1.0)
    score = ImageQualityScore(
        num_images=12, psnr=20.0, ssim=0.5, feature_space="some", reconstructed=distance, samples=None
    )
    monkeypatch.setattr(image_quality, "measure_image_quality", lambda *given, **options: score)
    code, out, _ = run("evaluate", "reconstruction", "--data", data, "--weights", weights)
    assert code == 0
    assert (PERCEPTUAL_REMARK in out) == (weight > 0)


@pytest.mark.parametrize("missing", ["data", "weights", "samples"])
def test_a_missing_folder_is_named(run: Run, tiny_model: Path, data: Path, tmp_path: Path, missing: str):
    places = {"data": data, "weights": tiny_model} | {missing: tmp_path / "nowhere"}
    out = tmp_path / "score.json"
    flags = [part for name, place in places.items() for part in (f"--{name}", place)]
    code, printed, err = run("evaluate", "reconstruction", *flags, "--out", out)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "nowhere" in err
    assert not out.exists()
