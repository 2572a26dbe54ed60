import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.data.mnist import Mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.generation.sample_folder import write_sample_folder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def data(mnist_sample: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 12 pairs a split."""
    folder = tmp_path_factory.mktemp("data") / "few"
    build_caption_mnist(CaptionMnistConfig(num_train=12, num_test=12), mnist_sample, folder)
    return folder


@pytest.fixture(scope="module")
def samples(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its test pairs, as if they had been sampled."""
    folder = tmp_path_factory.mktemp("generated") / "samples"
    write_sample_folder([PairDataset.from_parquet(data, "test")], folder, seed=0)
    return folder


def test_json_and_file_hold_the_whole_comparison(run: Run, samples: Path, data: Path, tmp_path: Path):
    out = tmp_path / "score.json"
    code, printed, err = run("evaluate", "similarity", samples, "--data", data, "--out", out, "--json")
    assert (code, err) == (0, "")
    score = json.loads(printed)
    assert json.loads(out.read_text()) == score
    assert score["samples"] == score["ceiling"]  # they are the same pairs
    assert score["dealt_samples"] == score["floor"]
    assert (score["num_reference_images"], score["references_per_pair"]) == (12, 10)
    assert score["feature_space"].startswith("EfficientNet-Lite0")
    assert score["sentence_encoder"] == "all-MiniLM-L6-v2"


def test_the_table_tells_samples_between_their_bounds(
    run: Run, samples: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = run(
        *("evaluate", "similarity", samples, "--data", data),
        *("--references", "train", "--neighbours", 11, "--seed", 1),
    )
    assert code == 0
    for part in ("ceiling", "Samples, captions shuffled", "floor", "11.0 a sample", "11 nearest of 12"):
        assert part in out
    assert "features of references: 12 images" in err


@pytest.mark.parametrize("missing", ["samples", "data"])
def test_a_missing_folder_is_named(run: Run, samples: Path, data: Path, tmp_path: Path, missing: str):
    places = {"samples": samples, "data": data} | {missing: tmp_path / "nowhere"}
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate", "similarity", places["samples"], "--data", places["data"], "--out", out
    )
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "nowhere" in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--references", "validation"), "no split 'validation'; it has test, train"),
        (("--neighbours", 0), "--neighbours must be at least 1, got 0"),
        (("--seed", -1), "--seed must be at least 0"),
    ],
)
def test_bad_values_are_named(
    run: Run, samples: Path, data: Path, arguments: tuple[object, ...], complaint: str
):
    code, printed, err = run("evaluate", "similarity", samples, "--data", data, *arguments)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert complaint in err
