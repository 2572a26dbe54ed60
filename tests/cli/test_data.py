import json
import shutil
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


@pytest.mark.parametrize("name", ["caption-mnist", "degree", "colour-degree", "corrupt"])
def test_the_manifest_is_printed_where_json_is_asked_for(
    run: Run, mnist_folder: Path, caption_mnist_small: Path, coloured_photos: Path, tmp_path: Path, name: str
):
    arguments = {
        "caption-mnist": ("--num-train", 20, "--num-test", 10, "--mnist", mnist_folder),
        "degree": ("--data", caption_mnist_small),
        "colour-degree": ("--data", coloured_photos),
        "corrupt": (caption_mnist_small, "--share", 0.1),
    }
    out = tmp_path / "out"
    code, stdout, err = run("data", name, *arguments[name], "--out", out, "--json")
    assert (code, err) == (0, "")
    assert json.loads(stdout) == json.loads((out / "manifest.json").read_text())


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


def test_degree_sets_are_built_and_reported(run: Run, caption_mnist_small: Path, tmp_path: Path):
    out = tmp_path / "degree"
    code, stdout, _ = run("data", "degree", "--data", caption_mnist_small, "--out", out, "--seed", 5)
    assert code == 0
    lines = stdout.splitlines()
    assert lines[0].startswith("quad1_degree1: 12 pairs, captions ")
    assert lines[-1] == f"Degree sets, seed 5: {out}"
    assert len(PairDataset.from_parquet(out, "quad4_degree3")) == 12


def test_degree_sets_of_photos_are_built_and_reported(run: Run, coloured_photos: Path, tmp_path: Path):
    out = tmp_path / "degree"
    code, stdout, _ = run("data", "colour-degree", "--data", coloured_photos, "--out", out, "--seed", 5)
    assert code == 0
    lines = stdout.splitlines()
    assert lines[0].startswith("quad1_degree1: ")
    assert lines[-1] == f"Degree sets of 6 colours, seed 5: {out}"
    code, stdout, err = run("data", "colour-degree", "--data", coloured_photos, "--out", out)
    assert (code, stdout) == (2, "")
    assert err.endswith("is not empty; choose another, or replace it with --overwrite\n")


def test_degree_sets_refuse_bad_input(run: Run, caption_mnist_small: Path, tmp_path: Path):
    command = ("data", "degree", "--data", caption_mnist_small, "--out", tmp_path)
    assert run(*command, "--seed", -1)[2] == "mxqvae: error: --seed must be at least 0, got -1\n"
    assert run("data", "degree", "--data", tmp_path / "nowhere", "--out", tmp_path)[0] == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes").touch()
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err.endswith("is not empty; choose another, or replace it with --overwrite\n")


@pytest.mark.parametrize("named", [True, False])
def test_the_digits_are_not_written_over(
    run: Run, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
):
    digits = tmp_path / "digits"
    shutil.copytree(mnist_folder, digits)
    monkeypatch.setenv("MXQVAE_MNIST", str(digits))
    named_so = ("--mnist", digits) if named else ()
    code, _, err = run("data", "caption-mnist", *named_so, "--out", digits, "--overwrite")
    assert (code, "which is to be read" in err) == (2, True)
    assert sorted(path.name for path in digits.iterdir()) == sorted(
        path.name for path in mnist_folder.iterdir()
    )
