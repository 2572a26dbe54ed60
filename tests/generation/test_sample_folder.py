import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pytest
from PIL import Image

from mxqvae.errors import MxqvaeError
from mxqvae.generation.sample_folder import read_sample_captions, read_sample_folder, write_sample_folder


class Batch(NamedTuple):
    images: np.ndarray
    captions: list[str]


IMAGES = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)
CAPTIONS = [f"The {number} is on the “left”, in white." for number in range(70)]


def batches(size: int = 32) -> Iterator[Batch]:
    for start in range(0, len(IMAGES), size):
        yield Batch(IMAGES[start : start + size], CAPTIONS[start : start + size])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert write_sample_folder(batches(), tmp_path / "samples", seed=3) == 70
    return tmp_path / "samples"


def test_reading_restores_what_was_written(folder: Path):
    images, captions = read_sample_folder(folder)
    np.testing.assert_array_equal(images, IMAGES)
    assert captions == CAPTIONS


def test_captions_are_read_without_images(folder: Path):
    captions = read_sample_folder(folder).captions
    for image in folder.glob("*.png"):
        image.unlink()
    assert read_sample_captions(folder) == captions


def test_the_first_pairs_are_read_without_the_others(folder: Path):
    (folder / "00003.png").unlink()
    images, captions = read_sample_folder(folder, 3)
    np.testing.assert_array_equal(images, IMAGES[:3])
    assert captions == CAPTIONS[:3]


def test_metadata_tells_seed_and_sample_number(tmp_path: Path):
    write_sample_folder(batches(), tmp_path / "samples", seed=3, first=1000)
    lines = (tmp_path / "samples" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {
        "file_name": "01001.png",
        "caption": CAPTIONS[1],
        "seed": 3,
        "sample": 1001,
    }
    assert len(lines) == 70


def test_folder_does_not_depend_on_the_batches(folder: Path, tmp_path: Path):
    write_sample_folder(batches(7), tmp_path / "again", seed=3)
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_datasets_opens_it_as_an_image_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(rows, datasets.Dataset)
    assert rows.column_names == ["image", "caption", "seed", "sample"]
    assert rows["caption"][:] == CAPTIONS  # the contact sheet is not a row
    assert rows["sample"][:] == list(range(70))
    np.testing.assert_array_equal(np.asarray(rows[69]["image"]), IMAGES[69])


def test_contact_sheet_shows_the_first_pairs(folder: Path):
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 8 * 16
        assert sheet.mode == "RGB"


def test_an_error_while_sampling_leaves_nothing(tmp_path: Path):
    def interrupted() -> Iterator[Batch]:
        yield from batches()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_folder(interrupted(), tmp_path / "samples", seed=0)
    assert list(tmp_path.iterdir()) == []


def test_no_pairs_are_refused(tmp_path: Path):
    with pytest.raises(MxqvaeError, match="no pairs"):
        write_sample_folder([], tmp_path / "samples", seed=0)
    assert list(tmp_path.iterdir()) == []


def test_content_is_refused_before_sampling(folder: Path):
    def never() -> Iterator[Batch]:
        raise AssertionError("sampled")
        yield

    with pytest.raises(MxqvaeError, match="--overwrite"):
        write_sample_folder(never(), folder, seed=0)


def test_only_file_name_and_caption_are_needed(tmp_path: Path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "cat.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "cat.png", "caption": "A cat."}\n\n')
    images, captions = read_sample_folder(tmp_path)
    assert images.shape == (1, 16, 16, 3)
    assert captions == ["A cat."]


def damage(folder: Path, kind: str) -> None:
    metadata = folder / "metadata.jsonl"
    lines = metadata.read_text(encoding="utf-8").splitlines()
    match kind:
        case "no metadata":
            metadata.unlink()
        case "empty metadata":
            metadata.write_text("")
        case "not UTF-8":
            metadata.write_bytes(b"\xff\xfe")
        case "cut line":
            metadata.write_text("\n".join([lines[0], lines[1][:20]]))
        case "no object":
            metadata.write_text("[1]")
        case "no caption":
            metadata.write_text('{"file_name": "00000.png"}')
        case "no image":
            (folder / "00005.png").unlink()
        case "cut image":
            (folder / "00005.png").write_bytes((folder / "00005.png").read_bytes()[:100])
        case "not an image":
            (folder / "00005.png").write_text("hello")
        case "another size":
            Image.new("RGB", (8, 12)).save(folder / "00005.png")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no metadata", r"metadata.jsonl is missing"),
        ("empty metadata", r"metadata.jsonl lists no pairs"),
        ("not UTF-8", r"metadata.jsonl is not UTF-8"),
        ("cut line", r"metadata.jsonl, line 2: is not a JSON object"),
        ("no object", r"metadata.jsonl, line 1: is not a JSON object"),
        ("no caption", r"metadata.jsonl, line 1: needs"),
        ("no image", r"00005.png is missing"),
        ("cut image", r"00005.png is not a readable image"),
        ("not an image", r"00005.png is not a readable image"),
        ("another size", r"00005.png is 8x12 where 00000.png is 16x16"),
    ],
)
def test_a_broken_folder_is_refused_by_name(folder: Path, kind: str, message: str):
    damage(folder, kind)
    with pytest.raises(MxqvaeError, match=message):
        read_sample_folder(folder)


def test_a_missing_folder_is_refused_by_name(tmp_path: Path):
    with pytest.raises(MxqvaeError, match="nowhere is not a folder"):
        read_sample_folder(tmp_path / "nowhere")
