import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]
COMMAND = ("data", "folder")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty pictures with text files beside them, three of them with something wrong."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        Image.new("RGB", (40, 30), (8 * number, 100, 255 - 8 * number)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"Colour {number}.\nA plain picture.\n")
    (folder / "05.png").write_bytes(b"no image")
    (folder / "06.txt").write_bytes(b"Caf\xe9\n")
    (folder / "07.png").write_bytes((folder / "08.png").read_bytes())
    return folder


def test_pairs_are_built_and_reported(run: Run, photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    code, stdout, _ = run(*COMMAND, photos, "--out", out, "--image-size", 16, "--processes", 1)
    assert code == 0
    assert stdout.splitlines()[0].startswith("train: 2")
    assert " images, " in stdout.splitlines()[1]
    assert stdout.splitlines()[2].startswith("tokenizer: ")
    for part in (
        "image is damaged or of an unknown format: left out",
        "  05.png",
        "image has the same pixels as another: captions put together",
        "  08.png",
        "caption is not UTF-8: read as Windows-1252",
        f"Built from images with text files beside them, seed 0: {out}",
        f"Some pairs at a glance: {out / 'contact_sheet.png'}",
        f"Next: mxqvae train pairs --data {out} --out MODEL",
    ):
        assert part in stdout
    images = [PairDataset.from_parquet(out, split).images for split in ("train", "test")]
    assert sum(map(len, images)) == 28
    assert images[0].shape[1:] == (16, 16, 3)


def test_an_output_folder_in_the_source_is_refused(run: Run, photos: Path):
    code, _, stderr = run(*COMMAND, photos, "--out", photos / "out")
    assert code != 0
    assert f"--out {photos / 'out'} lies in {photos}, which is read whole; choose a folder outside" in stderr


def test_json(run: Run, photos: Path, tmp_path: Path):
    arguments = ("--image-size", 16, "--processes", 1, "--json", "--test-share", 0, "--vocab-size", 270)
    code, stdout, stderr = run(*COMMAND, photos, "--out", tmp_path / "out", *arguments)
    assert (code, stderr) == (0, "")
    assert json.loads(stdout) == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(json.loads(stdout)["splits"]) == ["train"]
    assert json.loads(stdout)["tokenizer"]["vocab_size"] <= 270


def test_named_splits_are_kept(run: Run, photos: Path, tmp_path: Path):
    lines = [
        {"file_name": f"{number:02}.png", "text": f"Colour {number}.", "part": part}
        for part, numbers in (
            ("train2017", range(8, 20)),
            ("val2017", range(20, 25)),
            ("test", range(25, 30)),
        )
        for number in numbers
    ]
    (photos / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    arguments = ("--split-column", "part", "--image-size", 16, "--processes", 1)
    code, stdout, _ = run(*COMMAND, photos, "--out", out, *arguments)
    assert code == 0
    assert stdout.splitlines()[:3] == [
        "train: 12 images, 12 captions",
        "validation: 5 images, 5 captions",
        "test: 5 images, 5 captions",
    ]
    assert PairDataset.from_parquet(out, "validation").captions[0] == "Colour 20."
    card = (out / "README.md").read_text()
    assert "Splits are those that the source names;" in card
    assert "Splits are the source's own; --new-splits draws others at random." in stdout
    assert "{split: validation, path: data/validation-*.parquet}" in card


def test_splits_in_folders_are_kept_or_dealt_anew(run: Run, photos: Path, tmp_path: Path):
    for split, numbers in (("train", range(8, 15)), ("test", range(15, 30))):
        (tmp_path / "parts" / split).mkdir(parents=True)
        for number in numbers:
            for suffix in ("png", "txt"):
                name = f"{number:02}.{suffix}"
                (photos / name).rename(tmp_path / "parts" / split / name)
    arguments = (tmp_path / "parts", "--image-size", 16, "--processes", 1)
    code, stdout, _ = run(*COMMAND, *arguments, "--out", tmp_path / "kept")
    assert code == 0
    assert stdout.startswith("train: 7 images, 14 captions\ntest: 15 images, 30 captions\n")
    code, stdout, _ = run(*COMMAND, *arguments, "--out", tmp_path / "new", "--new-splits")
    assert code == 0
    assert not stdout.startswith("train: 7 images")
    assert "the source names" not in stdout
    code, _, err = run(
        *COMMAND, *arguments, "--out", tmp_path / "x", "--new-splits", "--split-column", "part"
    )
    assert (code, err) == (
        2,
        "mxqvae: error: --split-column part names splits; leave it or --new-splits out\n",
    )


def test_strict(run: Run, photos: Path, tmp_path: Path):
    code, stdout, stderr = run(*COMMAND, photos, "--out", tmp_path / "out", "--strict", "--processes", 1)
    assert (code, stdout) == (2, "")
    error = [line for line in stderr.splitlines() if line.startswith("mxqvae: error")]
    assert error == [
        "mxqvae: error: 05.png: image is damaged or of an unknown format (unknown format); fix it, or leave "
        "out --strict (then: left out)"
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--image-size", 4), "--image-size must be at least 8, got 4"),
        (("--image-size", 60), "--image-size must be a multiple of 8, as models take no other, got 60"),
        (("--seed", "x"), "--seed: takes a whole number, not 'x'; see `mxqvae data folder --help`"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
        (("--max-length", 1), "--max-length must be at least 2, got 1"),
        (("--vocab-size", 100), "--vocab-size must be at least 260, got 100"),
        (("--processes", 0), "--processes must be at least 1, got 0"),
        (("--test-share", 1.5), "--test-share must be at least 0 and below 1, got 1.5"),
    ],
)
def test_impossible_numbers_are_refused(
    run: Run, photos: Path, tmp_path: Path, arguments: tuple, message: str
):
    code, out, err = run(*COMMAND, photos, "--out", tmp_path / "out", *arguments)
    assert (code, out, err) == (2, "", f"mxqvae: error: {message}\n")


def test_names_that_no_file_can_have_do_not_stop_it(run: Run, photos: Path, tmp_path: Path):
    names = [*(f"{number:02}.png" for number in range(8, 30)), "\0", "\ud800.png", "x" * 300, "none.png"]
    lines = [json.dumps({"file_name": name, "text": f"Words {name[:9]}."}) for name in names]
    (photos / "metadata.jsonl").write_text("\n".join(lines))
    arguments = ("--image-size", 16, "--processes", 2, "--json")
    code, stdout, err = run(*COMMAND, photos, "--out", tmp_path / "out", *arguments)
    assert (code, err) == (0, "")
    assert json.loads(stdout)["problems"]["missing"]["num"] == 4
    problems = (tmp_path / "out" / "problems.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in problems if "missing" in line] == ["missing"] * 4


def test_the_source_is_never_overwritten(run: Run, photos: Path, tmp_path: Path):
    for out in (photos, tmp_path):
        code, _, err = run(*COMMAND, photos, "--out", out, "--overwrite")
        assert code == 2
        assert f"output folder {out} holds {photos}, which is to be read" in err
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "a.csv").write_text("file,text\n01.png,x\n")
    code, _, err = run(*COMMAND, lists / "a.csv", "--images", photos, "--out", photos, "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
    assert (photos / "01.png").exists()


def test_a_path_that_is_nothing(run: Run, tmp_path: Path):
    code, _, err = run(*COMMAND, tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "no such file or folder; give one, or a data set of the hub as user/name" in err
    assert err.count("\n") == 1


def test_what_captions_belong_to_is_kept_and_told(run: Run, photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    arguments = ("--image-size", 16, "--processes", 1, "--pairing-note", "captions are of another photo")
    assert run(*COMMAND, photos, "--out", out, *arguments)[0] == 0
    config = json.loads((out / "manifest.json").read_text())["config"]
    assert config["pairing_note"] == "captions are of another photo"
    assert (
        "How captions and images are paired: captions are of another photo" in (out / "README.md").read_text()
    )
