import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """Twenty pictures laid out as COCO, unpacked; one of them is missing."""
    folder = tmp_path / "archives"
    (folder / "annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        (folder / part).mkdir()
        numbers = range(10) if part == "train2017" else range(10, 20)
        for number in numbers:
            image = Image.new("RGB", (40, 30), (10 * number, 100, 255 - 10 * number))
            image.save(folder / part / f"{number}.png")
        tree = {
            "images": [{"id": number, "file_name": f"{number}.png"} for number in numbers],
            "annotations": [{"image_id": number, "caption": f"Colour {number}."} for number in numbers],
        }
        (folder / "annotations" / f"captions_{part}.json").write_text(json.dumps(tree))
    (folder / "val2017" / "15.png").unlink()
    return folder


def test_a_set_is_built_and_reported(run: Run, archives: Path, tmp_path: Path):
    out = tmp_path / "out"
    arguments = ("--archives", archives, "--out", out, "--image-size", 16, "--processes", 1)
    code, stdout, _ = run("data", "coco", *arguments)
    assert code == 0
    assert stdout.splitlines()[:2] == ["train: 10 images, 10 captions", "test: 9 images, 9 captions"]
    assert "image file is missing: left out" in stdout
    assert "val2017/15.png" in stdout
    assert f"Built from MS-COCO 2017 captions, seed 0: {out}" in stdout
    code, stdout, stderr = run("data", "coco", *arguments, "--overwrite", "--json", "--vocab-size", 270)
    assert (code, stderr) == (0, "")
    assert json.loads(stdout) == json.loads((out / "manifest.json").read_text())


@pytest.mark.parametrize("name", ["flowers102", "cub200", "coco", "emoji"])
def test_wrong_input_is_refused_in_one_line(run: Run, archives: Path, tmp_path: Path, name: str):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    for arguments, message in (
        (("--archives", empty, "--out", out), f"{empty} lacks "),
        (("--archives", tmp_path / "nowhere", "--out", out), "nowhere: no such folder; name another"),
        (("--archives", archives, "--out", archives, "--overwrite"), "which is to be read"),
        (("--out", archives), "is not empty"),
        (("--out", out, "--image-size", 4), "--image-size must be at least 8, got 4"),
        (("--out", out, "--vocab-size", 5), "--vocab-size must be at least 260, got 5"),
    ):
        code, stdout, stderr = run("data", name, *arguments)
        assert (code, stdout, stderr.count("\n")) == (2, "", 1)
        assert message in stderr
    assert not out.exists()


def test_strict_stops(run: Run, archives: Path, tmp_path: Path):
    arguments = ("--archives", archives, "--out", tmp_path / "out", "--image-size", 16, "--processes", 1)
    code, _, stderr = run("data", "coco", *arguments, "--strict")
    assert code == 2
    assert "val2017/15.png: image file is missing; fix it, or leave out --strict" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["flowers102", "cub200", "coco", "emoji"])
def test_without_a_network_one_message_says_what_to_get(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    from mxqvae.data.archives import published

    def no_network(url: str, path: Path, progress: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("MXQVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "download", no_network)
    code, _, stderr = run("data", name, "--out", tmp_path / "out")
    assert (code, stderr.count("\n")) == (2, 1)
    for part in ("is not at hand", "no network", "put these files into", "(from https://", "--archives"):
        assert part in stderr
