from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]
BUILD = ("data", "caption-mnist", "--num-train", 20, "--num-test", 10)


def test_caption_mnist_is_built_and_reported(run: Run, mnist_folder: Path, tmp_path: Path):
    out = tmp_path / "caption-mnist"
    code, stdout, _ = run(*BUILD, "--mnist", mnist_folder, "--out", out)
    assert code == 0
    assert [line.split(",")[0] for line in stdout.splitlines()[:2]] == ["train: 20 pairs", "test: 10 pairs"]
    assert len(PairDataset.from_parquet(out, "train")) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--num-train", 0), "--num-train must be at least 1, got 0"),
        (("--num-test", -3), "--num-test must be at least 1, got -3"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
    ],
)
def test_impossible_numbers_are_refused(run: Run, tmp_path: Path, arguments: tuple[object], message: str):
    code, out, err = run("data", "caption-mnist", "--out", tmp_path / "out", *arguments)
    assert (code, out, err) == (2, "", f"mxqvae: error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_content_is_refused_before_the_digits_are_read(run: Run, tmp_path: Path):
    (tmp_path / "notes").touch()
    code, _, err = run(*BUILD, "--mnist", tmp_path / "nowhere", "--out", tmp_path)
    assert code == 2
    assert err.startswith(f"mxqvae: error: output folder {tmp_path} is not empty")
    assert err.endswith("--overwrite\n")


def test_digits_that_are_missing_are_named(run: Run, tmp_path: Path):
    code, _, err = run(*BUILD, "--mnist", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "nowhere" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
