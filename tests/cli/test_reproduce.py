import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mxqvae.cli import reproduce
from mxqvae.config import to_json
from mxqvae.data.caption_mnist import CaptionMnistConfig
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig, Manifest, TokenizerCounts
from mxqvae.data.captioned_images.shards import SplitCounts
from mxqvae.evaluation import correlation_plot
from mxqvae.reproduction import table1, table2
from mxqvae.reproduction.rows import TABLE1_ROWS
from mxqvae.reproduction.table1 import Table1Reproduction
from mxqvae.results import DirtyDataResult, Table1Result, Table2Result, write_result

Run = Callable[..., tuple[int, str, str]]


MXQVAE = "caption-mnist-cpu-seed0"
COUNTS = SplitCounts(
    num_rows=20,
    num_images=20,
    num_captions=20,
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
    assert ["shared, see above" in line for line in data] == [False, True, True, True, True]
    assert "done" not in out


def test_seeds_are_run_one_after_another_in_one_work_folder(run: Run, tmp_path: Path):
    command = ("reproduce", "table1", "--rows", "mxqvae", "--work", tmp_path, "--dry-run")
    code, out, _ = run(*command, "--seeds", 0, 2)
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if line.endswith(":")] == ["mxqvae, seed 0:", "mxqvae, seed 2:"]
    trained = [line.split()[0] for line in lines if "/autoencoder " in line]
    assert trained == ["caption-mnist-cpu-seed0/autoencoder", "caption-mnist-cpu-seed2/autoencoder"]
    assert [" min " in line for line in lines if line.split()[0] == "data"] == [True, False]
    assert run(*command, "--seed", 2) == run(*command, "--seeds", 2)


def test_every_table_takes_several_seeds(run: Run, coloured_photos: Path, tmp_path: Path):
    photos = ("--data", coloured_photos, "--data-set", "things")
    for command, rows in (
        (("table2", "--rows"), "mxqvae"),
        (("table3", *photos, "--rows"), "mxqvae"),
        (("reconstruction", *photos, "--recipes"), "pairs-cpu"),
        (("dirty-data", "--rows"), "clean"),
    ):
        code, out, _ = run("reproduce", *command, rows, "--work", tmp_path, "--dry-run", "--seeds", 1, 2)
        assert code == 0
        lines = [line for line in out.splitlines() if line.endswith(":")]
        assert lines == [f"{rows}, seed 1:", f"{rows}, seed 2:"]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ((), "--seeds takes one or more, such as --seeds 0 1 2"),
        ((0, -1), "--seeds must be at least 0, got -1"),
    ],
)
def test_bad_seeds_are_named(run: Run, tmp_path: Path, seeds: tuple[int, ...], message: str):
    code, out, err = run("reproduce", "table1", "--work", tmp_path, "--seeds", *seeds)
    assert (code, out, err) == (2, "", f"mxqvae: error: {message}\n")


def test_rows_beside_the_paper_s_are_run_when_they_are_named(run: Run, tmp_path: Path):
    command = ("reproduce", "table1", "--work", tmp_path, "--dry-run")
    assert "masks-only" not in run(*command)[1]
    code, out, _ = run(*command, "--rows", "masks-only", "without-tc-masks-only")
    assert code == 0
    assert [line for line in out.splitlines() if line.endswith(":")] == [
        "masks-only:",
        "without-tc-masks-only:",
    ]
    assert "caption-mnist-cpu-without-tc-masks-only-seed0/autoencoder" in out


def write_manifest(folder: Path, image_size: int = 64) -> None:
    """All of a data set of captioned images that a plan reads."""
    manifest = Manifest(
        layout="folder",
        config=CaptionedImagesConfig(image_size=image_size),
        splits={"train": COUNTS, "test": COUNTS},
        tokenizer=TokenizerCounts(vocab_size=500, max_length=16, longest_caption=20, num_cut=1),
        problems={},
    )
    (folder / "manifest.json").write_text(to_json(manifest))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder of a data set of captioned images that has a manifest and nothing else."""
    write_manifest(tmp_path)
    return tmp_path


def test_table_1_of_photos_takes_no_recipe_of_caption_mnist(run: Run, photos: Path):
    command = ("reproduce", "table1", "--data", photos, "--data-set", "mine", "--dry-run")
    code, _, err = run(*command, "--recipe", "caption-mnist-cpu")
    assert code == 2
    assert f"recipe 'caption-mnist-cpu' is for Caption MNIST, and {photos} holds own pairs" in err


@pytest.mark.parametrize("recipe", ["photos-cpu", "pairs-cpu"])
def test_table_1_takes_a_data_set(run: Run, photos: Path, recipe: str):
    command = ("reproduce", "table1", "--data", photos, "--data-set", "mine", "--dry-run")
    code, out, err = run(*command, *(() if recipe == "photos-cpu" else ("--recipe", recipe)))
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    recipes = [f"{recipe}-only-sharing-c", f"{recipe}-without-tc", f"{recipe}-without-im", recipe]
    assert [line[0] for line in lines if len(line) == 1] == [f"{name}:" for name in TABLE1_ROWS]
    assert [line[0] for line in lines if "/autoencoder" in line[0]] == [
        f"{name}-seed0/autoencoder" for name in recipes
    ]
    assert [line[-1] for line in lines if line[0] == "degree"] == ["runs/table3/mine/degree"] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "photos"), "--data and --data-set go together: the folder, and its name in the table"),
        (("--data-set", "mine"), "--data and --data-set go together: the folder, and its name in the table"),
        (("--recipe", "pairs-cpu"), "--recipe is for --data; on Caption MNIST each row has its own"),
        (
            ("--data", "photos", "--data-set", "mine", "--mnist", "mnist"),
            "--mnist is for Caption MNIST; leave it out beside --data",
        ),
        (("--data", "photos", "--data-set", "a/b"), "--data-set 'a/b' names files; use letters, digits"),
        (("--data", "nowhere", "--data-set", "mine"), "nowhere/manifest.json is missing or damaged; build"),
    ],
)
def test_what_does_not_go_with_a_data_set_is_named(run: Run, arguments: tuple[str, ...], message: str):
    code, out, err = run("reproduce", "table1", *arguments, "--dry-run")
    assert (code, out) == (2, "")
    assert err.startswith(f"mxqvae: error: {message}")
    assert err.count("\n") == 1


def test_table_1_of_photos_is_printed_with_its_plot(
    run: Run, table1_result: Table1Result, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    plots: list[tuple[object, ...]] = []
    monkeypatch.setattr(reproduce, "run_rows", lambda *arguments: True)
    monkeypatch.setattr(
        correlation_plot, "write_correlation_plot", lambda *arguments: plots.append(arguments)
    )
    results = photos / "results"
    of_photos = dataclasses.replace(table1_result, name="of-photos", recipe="photos-cpu", data_set="mine")
    others = dataclasses.replace(of_photos, name="others", data_set="others")
    auditor = dataclasses.replace(of_photos, name="auditor", recipe="photos-cpu-audit")
    for result in (table1_result, of_photos, others, auditor):
        write_result(result, results)
    command = ("reproduce", "table1", "--data", photos, "--data-set", "mine", "--results", results)
    code, out, _ = run(*command)
    assert code == 0
    plot = results / "table1-mine-photos-cpu.png"
    assert plots == [(plot, {"MXQ-VAE": of_photos.figures}, {})]
    assert f"Plot: {plot}\n" in out
    assert "Table 1 on photos" in out
    assert any(line.split()[:1] == ["mine"] for line in out.splitlines())


def test_table_3_takes_a_data_set(run: Run, tmp_path: Path):
    command = ("reproduce", "table3", "--data", tmp_path, "--data-set", "photos", "--dry-run")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'manifest.json'} is missing or damaged; build the data set" in err
    write_manifest(tmp_path)
    code, out, _ = run(*command)
    assert code == 0
    steps = ["autoencoder", "prior", "samples", "table3"]
    assert [
        line.split()[0].rpartition("/")[2].rpartition("-")[2] for line in out.splitlines()[-5:-1]
    ] == steps
    assert run(*command, "--recipe", "flowers")[0] == 2
    small = [line.split()[1] for line in out.splitlines()[-5:-1]]
    write_manifest(tmp_path, image_size=128)
    _, out, _ = run(*command)
    large = [line.split()[1] for line in out.splitlines()[-5:-1]]
    assert (small, large) == (["3.3", "9.9", "2", "10"], ["13.2", "39.6", "8", "10"])
    code, _, err = run(*command, "--recipe", "caption-mnist-cpu")
    assert code == 2
    assert f"recipe 'caption-mnist-cpu' is for Caption MNIST, and {tmp_path} holds own pairs" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "mxqvae", "i-and-t"), "unknown row 'i-and-t'; choose from i-t, t-i"),
        (("--seed", -1), "--seeds must be at least 0, got -1"),
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
        assert any(line and line[0].startswith("differ") for line in lines)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        "table1.png",
        "table1-mxqvae-seed0.json",
        "table1-mxqvae-seed0.png",
    }


def test_table_2_is_printed_with_its_measures_and_the_judge(
    run: Run, table2_result: Table2Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reproduce, "run_rows", lambda *arguments: True)  # as if all steps were done
    baseline = dataclasses.replace(table2_result, name="table2-i-t-emb-seed7", row="I_T_Emb")
    for result in (table2_result, baseline):
        write_result(result, tmp_path / "results")
    code, out, _ = run("reproduce", "table2", "--work", tmp_path / "work", "--results", tmp_path / "results")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["ours", *["1.000"] * 4, "0.900", "0.980", "0.980"] in lines
    assert ["Model", "I_T_Emb", "MXQ-VAE"] in lines
    assert ["Codes", "a", "pair", "72", "72"] in lines
    assert "The judge names 99.61% of real test digits right.\n" in out


def test_table_2_pictures_the_rows_that_kept_their_samples(
    run: Run, table2_result: Table2Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reproduce, "run_rows", lambda *arguments: True)  # as if all steps were done
    write_result(table2_result, tmp_path / "results")
    command = ("reproduce", "table2", "--work", tmp_path / "work", "--results", tmp_path / "results")
    code, out, _ = run(*command)
    assert code == 0
    assert "side by side" not in out
    picture = tmp_path / "results" / "table2.png"
    monkeypatch.setattr(table2.Table2Reproduction, "picture_rows", lambda self, results: picture)
    assert f"Samples of the rows side by side: {picture}" in run(*command)[1]


def test_dirty_data_shares_what_its_rows_have_in_common(run: Run, tmp_path: Path):
    command = ("reproduce", "dirty-data", "--work", tmp_path, "--dry-run")
    code, out, err = run(*command, "--rows", "10-filtered", "10-corrected")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    audits = [line[1] for line in lines if line[0] == "audit-10-seed0"]
    assert audits == ["20", "shared,"]
    assert sum(line[0].endswith("/autoencoder") for line in lines) == 4  # of three models
    code, _, err = run(*command, "--rows", "10-lies")
    assert (code, "unknown row '10-lies'; choose from clean, 10-dirty" in err) == (2, True)


def test_dirty_data_prints_its_table(
    run: Run, dirty_data_result: DirtyDataResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(reproduce, "run_rows", lambda *arguments: True)  # as if all steps were done
    write_result(dirty_data_result, tmp_path)
    code, out, _ = run("reproduce", "dirty-data", "--results", tmp_path)
    assert code == 0
    assert "20% lie" in out
    assert "0.985" in out


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


def test_pairs_asks_for_as_many_test_images_as_it_measures(run: Run, coloured_photos: Path, tmp_path: Path):
    command = ("reproduce", "pairs", "--data", coloured_photos, "--data-set", "things", "--dry-run")
    code, out, err = run(*command, "--work", tmp_path)
    assert (code, out) == (2, "")
    assert "20 images of the split 'test' have a caption, the measure needs 100; build it with" in err
    assert list(tmp_path.iterdir()) == []
