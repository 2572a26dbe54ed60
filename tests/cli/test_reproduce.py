from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mxqvae.config import to_json
from mxqvae.data.caption_mnist import CaptionMnistConfig
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig, Manifest, TokenizerCounts
from mxqvae.data.captioned_images.shards import SplitCounts
from mxqvae.reproduction import table1
from mxqvae.reproduction.table1 import Table1Reproduction

Run = Callable[..., tuple[int, str, str]]


MXQVAE = "caption-mnist-cpu-seed0"
COUNTS = SplitCounts(
    num_rows=1,
    num_images=1,
    num_captions=1,
    num_images_without_caption=0,
    num_rows_without_image=0,
    pixels_sha256="",
    captions_sha256="",
)


@pytest.mark.parametrize(
    ("table", "steps"),
    [
        ("table1", ["data", "degree", f"{MXQVAE}/autoencoder", f"{MXQVAE}/table1"]),
        (
            "table2",
            [
                "data",
                "prior-data",
                "judge",
                f"{MXQVAE}/autoencoder",
                f"{MXQVAE}/prior",
                f"{MXQVAE}-samples-as-drawn",
                f"{MXQVAE}-samples-refined",
                f"{MXQVAE}-samples",
                f"{MXQVAE}/table2",
            ],
        ),
    ],
)
def test_the_plan_names_every_step_and_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, steps: list[str]
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("reproduce", table, "--rows", "mxqvae", "--dry-run")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["mxqvae:", *steps, "To"]
    assert "done" not in out
    assert list(tmp_path.iterdir()) == []


def test_all_rows_are_run_by_default_and_shared_steps_counted_once(run: Run, tmp_path: Path):
    _, out, _ = run("reproduce", "table2", "--work", tmp_path, "--dry-run")
    assert [line for line in out.splitlines() if line.endswith(":")] == [
        "i-t:",
        "t-i:",
        "i-t-emb:",
        "t-emb-i:",
        "mxqvae:",
    ]
    data = [line for line in out.splitlines() if line.split()[0] == "data"]
    assert ["done" in line for line in data] == [False, True, True, True, True]


def test_table_3_takes_a_data_set(run: Run, tmp_path: Path):
    command = ("reproduce", "table3", "--data", tmp_path, "--data-set", "photos", "--dry-run")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'manifest.json'} is missing or damaged; build the data set" in err
    manifest = Manifest(
        layout="folder",
        config=CaptionedImagesConfig(),
        splits={"train": COUNTS, "test": COUNTS},
        tokenizer=TokenizerCounts(vocab_size=500, max_length=16, longest_caption=20, num_cut=1),
        problems={},
    )
    (tmp_path / "manifest.json").write_text(to_json(manifest))
    code, out, _ = run(*command)
    assert code == 0
    steps = ["autoencoder", "prior", "samples", "table3"]
    assert [
        line.split()[0].rpartition("/")[2].rpartition("-")[2] for line in out.splitlines()[-5:-1]
    ] == steps
    assert run(*command, "--recipe", "flowers")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "mxqvae", "i-and-t"), "unknown row 'i-and-t'; choose from i-t, t-i"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
    ],
)
def test_bad_input_is_named_and_nothing_is_run(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], message: str
):
    work = tmp_path / "work"
    code, out, err = run("reproduce", "table2", "--work", work, "--results", tmp_path / "results", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_row_is_printed_beside_the_paper_s(
    run: Run, tiny_recipes: None, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = partial(Table1Reproduction, data=CaptionMnistConfig(num_train=40, num_test=20))
    monkeypatch.setattr(table1, "Table1Reproduction", small)
    folders = ("--work", tmp_path / "work", "--results", tmp_path / "results", "--mnist", mnist_folder)
    for _ in range(2):  # the second finds everything done
        code, out, _ = run("reproduce", "table1", "--rows", "mxqvae", *folders)
        assert code == 0
        lines = [line.split() for line in out.splitlines()]
        assert any(line[:2] == ["MXQ-VAE", "poster"] for line in lines)
        assert any("ours" in line for line in lines)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        "table1.png",
        "table1-mxqvae-seed0.json",
        "table1-mxqvae-seed0.png",
    }


def test_reconstruction_trains_stage_1_of_both_recipes(run: Run, coloured_photos: Path, tmp_path: Path):
    code, out, err = run(
        *("reproduce", "reconstruction", "--data", coloured_photos, "--data-set", "things"),
        *("--work", tmp_path, "--dry-run"),
    )
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "photos-cpu:",
        "photos-cpu-seed0/autoencoder",
        "photos-cpu-seed0/reconstruction",
        "photos-cpu-perceptual:",
        "photos-cpu-perceptual-seed0/autoencoder",
        "photos-cpu-perceptual-seed0/reconstruction",
        "To",
    ]
    assert list(tmp_path.iterdir()) == []
