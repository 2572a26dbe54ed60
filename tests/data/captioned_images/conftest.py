"""Small pictures, and the same captioned digits in every layout that people keep such in."""

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.data.captioned_images.source import FileRange, SourcePair
from mxqvae.data.mnist import Mnist


def _picture(number: int = 0, width: int = 80, height: int = 80) -> Image.Image:
    levels = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


def _encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """Make smooth random colours: `picture(number, width, height)`."""
    return _picture


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode an image: `encode(image, format, **options)`."""
    return _encode


class Example(NamedTuple):
    """A captioned digit."""

    name: str
    png: bytes
    captions: tuple[str, ...]


@pytest.fixture(scope="session")
def examples(mnist_sample: Mnist) -> list[Example]:
    """Twelve digits, from one to three captions each, in the order of their names."""
    digits = zip(mnist_sample.train.images[:12], mnist_sample.train.labels[:12].tolist(), strict=True)
    return [
        Example(
            f"digit-{number:02}.png",
            _encode(Image.fromarray(image)),
            (f"A {label}.", f"The digit {label}, “handwritten”.", f"{label} in white")[: 1 + number % 3],
        )
        for number, (image, label) in enumerate(digits)
    ]


def _write_images(folder: Path, examples: list[Example]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for example in examples:
        (folder / example.name).write_bytes(example.png)


def _metadata_jsonl(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder, examples)
    lines = [json.dumps({"file_name": e.name, "captions": e.captions, "label": 1}) for e in examples]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _other_jsonl(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder / "images", examples)
    lines = [json.dumps({"image": f"images/{e.name}", "captions": e.captions}) for e in examples]
    (folder / "digits.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _metadata_csv(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder, examples)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "text"])
        writer.writerows((e.name, caption) for e in examples for caption in e.captions)
    return folder


def _metadata_in_folders(folder: Path, examples: list[Example]) -> Path:
    _metadata_jsonl(folder / "a", examples[:5])
    _metadata_jsonl(folder / "b", examples[5:])
    return folder


def _text_files(folder: Path, examples: list[Example]) -> Path:
    for number, example in enumerate(examples):
        place = folder / ("first" if number < 5 else "second")
        _write_images(place, [example])
        text = "\r\n".join(example.captions) + "\r\n"
        (place / example.name).with_suffix(".txt").write_text(text, encoding="utf-8", newline="")
    (folder / "README.txt").write_text("Digits.\n")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "no.txt").write_text("Not a caption.\n")
    return folder


def _texts_in_another_folder(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder / "images", examples)
    (folder / "captions").mkdir()
    for example in examples:
        text = folder / "captions" / example.name.replace(".png", ".txt")
        text.write_text("\n".join(example.captions), encoding="utf-8")
    (folder / "numbers.csv").write_text("digit,number\n3,5\n")
    return folder


def _kaggle(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder / "Images", examples)
    with (folder / "captions.txt").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows((e.name, caption) for e in examples for caption in e.captions)
    return folder


def _kaggle_file(folder: Path, examples: list[Example]) -> Path:
    return _kaggle(folder, examples) / "captions.txt"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _tar_text(folder: Path, examples: list[Example]) -> Path:
    folder.mkdir()
    for number, some in enumerate((examples[:5], examples[5:])):
        with tarfile.open(folder / f"{number:05}.tar", "w") as tar:
            for e in some:
                _add(tar, e.name, e.png)
                _add(tar, e.name.replace(".png", ".mask.png"), b"a mask")
                _add(tar, e.name.replace(".png", ".txt"), "\n".join(e.captions).encode())
    return folder


def _tar_json(folder: Path, examples: list[Example]) -> Path:
    folder.mkdir()
    path = folder / "digits.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for e in examples:
            _add(tar, f"./{e.name}".replace(".png", ".json"), json.dumps({"caption": e.captions}).encode())
            _add(tar, f"./{e.name}".replace(".png", ".cls"), b"7")
            _add(tar, f"./{e.name}", e.png)
    return path


def _jsonl_beside_tar(folder: Path, examples: list[Example]) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "digits64.tar", "w") as tar:
        for e in examples:
            _add(tar, f"digits/{e.name}", e.png)
    lines = [json.dumps({"file": f"digits/{e.name}", "captions": e.captions}) for e in examples]
    (folder / "digits.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _jsonl_in_tar(folder: Path, examples: list[Example]) -> Path:
    folder.mkdir()
    path = folder / "digits.tar"
    lines = [json.dumps({"image": f"images/{e.name}", "captions": e.captions}) for e in examples]
    with tarfile.open(path, "w") as tar:
        _add(tar, "digits/captions.jsonl", "\n".join(lines).encode())
        for e in examples:
            _add(tar, f"digits/images/{e.name}", e.png)
    return path


def _parquet(path: Path, images: list[Any], captions: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "caption": captions, "other": [1] * len(images)}), path)


def _parquet_structs(folder: Path, examples: list[Example]) -> Path:
    for number, some in enumerate((examples[:5], examples[5:])):
        _parquet(
            folder / "data" / f"{number}.parquet",
            [{"bytes": e.png, "path": e.name} for e in some],
            [list(e.captions) for e in some],
        )
    return folder


def _parquet_binary(folder: Path, examples: list[Example]) -> Path:
    path = folder / "digits.parquet"
    _parquet(path, [e.png for e in examples], [list(e.captions) for e in examples])
    return path


def _parquet_names(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder, examples)
    _parquet(folder / "digits.parquet", [e.name for e in examples], [list(e.captions) for e in examples])
    return folder


def _coco(folder: Path, examples: list[Example]) -> Path:
    _write_images(folder / "train2017", examples)
    tree = {
        "info": {},
        "images": [{"id": 100 - i, "file_name": e.name} for i, e in enumerate(examples)],
        "annotations": [
            {"id": 7, "image_id": 100 - i, "caption": caption}
            for i, e in enumerate(examples)
            for caption in e.captions
        ],
    }
    path = folder / "annotations" / "captions_train2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps(tree))
    return path


LAYOUTS: dict[str, tuple[Callable[[Path, list[Example]], Path], str]] = {
    "metadata.jsonl": (_metadata_jsonl, "captions in a metadata file"),
    "other jsonl": (_other_jsonl, "captions in a metadata file"),
    "metadata.csv": (_metadata_csv, "captions in a metadata file"),
    "metadata in folders": (_metadata_in_folders, "captions in a metadata file"),
    "jsonl beside tar": (_jsonl_beside_tar, "captions in a metadata file"),
    "text files": (_text_files, "images with text files beside them"),
    "texts in another folder": (_texts_in_another_folder, "images with text files beside them"),
    "Kaggle": (_kaggle, "captions in a metadata file"),
    "Kaggle file": (_kaggle_file, "captions in a metadata file"),
    "jsonl in tar": (_jsonl_in_tar, "captions in a metadata file in a tar archive"),
    "tar with text": (_tar_text, "WebDataset tar shards"),
    "tar.gz with json": (_tar_json, "WebDataset tar shards"),
    "parquet structs": (_parquet_structs, "parquet files"),
    "parquet binary": (_parquet_binary, "parquet files"),
    "parquet names": (_parquet_names, "parquet files"),
    "COCO": (_coco, "COCO captions"),
}


class WrittenLayout(NamedTuple):
    """The examples on disk."""

    path: Path
    layout: str


@pytest.fixture(params=LAYOUTS)
def written(request: pytest.FixtureRequest, tmp_path: Path, examples: list[Example]) -> WrittenLayout:
    """The examples in each layout, one after the other."""
    write, layout = LAYOUTS[request.param]
    return WrittenLayout(write(tmp_path / "source", examples), layout)


@pytest.fixture
def write_layout(tmp_path: Path, examples: list[Example]) -> Callable[[str], Path]:
    """Write the examples in the layout of a name."""
    return lambda name: LAYOUTS[name][0](tmp_path / "source", examples)


class ListedPairs:
    """A source that holds its pairs in a list."""

    layout = "a list"

    def __init__(self, pairs: list[SourcePair]) -> None:
        self.pairs = pairs

    def count(self) -> int:
        return len(self.pairs)

    def __iter__(self):
        return iter(self.pairs)


@pytest.fixture
def listed() -> Callable[[list[SourcePair]], ListedPairs]:
    """Make a source of a list of pairs."""
    return ListedPairs


def _image_bytes(pair: SourcePair) -> bytes:
    assert pair.image is not None
    return pair.image.read() if isinstance(pair.image, FileRange) else pair.image


@pytest.fixture
def image_bytes() -> Callable[[SourcePair], bytes]:
    """Read the encoded image of a pair."""
    return _image_bytes
