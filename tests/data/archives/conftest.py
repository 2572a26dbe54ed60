"""Drawings in archives, laid out as Flower-102, CUB-200-2011 and COCO are; and a server of files."""

import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mxqvae.data.archives import cub200, flowers102
from mxqvae.data.archives.published import PublishedFile
from mxqvae.data.captioned_images.source import Box, FileRange, SourcePair

DRAWINGS = Path(__file__).parents[2] / "assets" / "openclipart"
BOX = Box(30, 4, 64, 64)
"""Where the drawing lies in the image of 120 x 72 pixels."""


class Drawing(NamedTuple):
    """An image as a photographer would have published it."""

    name: str
    jpeg: bytes
    captions: tuple[str, ...]


@pytest.fixture(scope="session")
def drawings() -> list[Drawing]:
    """Twelve drawings, each on a ground of its own colour; the last has no caption."""
    drawings = []
    for number, path in enumerate(sorted(DRAWINGS.glob("*.png"))):
        image = Image.new("RGB", (120, 72), (20 * number, 255 - 20 * number, 90))
        image.paste(Image.open(path), (int(BOX.left), int(BOX.top)))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95)
        name = path.stem.replace("_", " ")
        captions = tuple(f"a drawing of a {name} , number {line} ." for line in range(10))
        drawings.append(Drawing(path.stem, file.getvalue(), captions if number < 11 else ()))
    return drawings


def _write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.fixture(scope="session")
def write_archive() -> Callable[[Path, Mapping[str, bytes]], None]:
    """Write a `.zip` or a compressed tar archive of files with these names and contents."""
    return lambda path, files: (_write_zip if path.suffix == ".zip" else _write_tar)(path, files)


@pytest.fixture(scope="session")
def image_bytes() -> Callable[[SourcePair], bytes]:
    """Read the encoded image of a pair."""

    def read(pair: SourcePair) -> bytes:
        assert pair.image is not None
        return pair.image.read() if isinstance(pair.image, FileRange) else pair.image

    return read


def _text(captions: tuple[str, ...]) -> bytes:
    return ("\n".join(captions) + "\n").encode()


def _publish(monkeypatch: pytest.MonkeyPatch, module: object, name: str, folder: Path) -> None:
    """Let the checksum of a file of the sample be the published one."""
    file: PublishedFile = getattr(module, name)
    digest = hashlib.md5((folder / file.name).read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(module, name, file._replace(md5=digest))


@pytest.fixture
def flower_archives(tmp_path: Path, drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images 1 to 12 of classes 1 to 4; the last four are the part `valid`."""
    folder = tmp_path / "archives"
    folder.mkdir()
    numbered = dict(enumerate(drawings, start=1))
    classes = {number: 1 + number % 4 for number in numbered}
    _write_tar(
        folder / "102flowers.tgz", {f"jpg/image_{n:05}.jpg": drawing.jpeg for n, drawing in numbered.items()}
    )
    _write_tar(
        folder / "cvpr2016_flowers.tar.gz",
        {
            "cvpr2016_flowers/allclasses.txt": b"class_00001\n",
            "cvpr2016_flowers/word_c10/class_00001.t7": b"words",
            **{
                f"cvpr2016_flowers/text_c10/class_{classes[n]:05}/image_{n:05}.{suffix}": content
                for n, drawing in numbered.items()
                if drawing.captions
                for suffix, content in (("h5", b"vectors"), ("txt", _text(drawing.captions)))
            },
        },
    )
    labels = np.array([[classes[number] for number in numbered]], np.uint8)
    savemat(folder / "imagelabels.mat", {"labels": labels}, do_compression=True)
    parts = {"trnid": [[8, 1]], "valid": [[12, 9, 10, 11]], "tstid": [[2, 3, 4, 5, 6, 7]]}
    savemat(
        folder / "setid.mat",
        {name: np.array(numbers, np.uint16) for name, numbers in parts.items()},
        do_compression=True,
    )
    for name in ("IMAGES", "LABELS", "PARTS"):
        _publish(monkeypatch, flowers102, name, folder)
    return folder


@pytest.fixture
def cub_archives(tmp_path: Path, drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three species of four images; every third image is for testing."""
    folder = tmp_path / "archives"
    folder.mkdir()
    names = [
        f"{1 + number // 4:03}.A_{drawing.name}/{drawing.name}" for number, drawing in enumerate(drawings)
    ]
    lists = {
        "images.txt": [f"{name}.jpg" for name in names],
        "train_test_split.txt": [str(int(number % 3 != 2)) for number in range(12)],
        "bounding_boxes.txt": [" ".join(str(float(value)) for value in BOX)] * 12,
        "image_class_labels.txt": [str(1 + number // 4) for number in range(12)],
    }
    _write_tar(
        folder / "CUB_200_2011.tgz",
        {
            "attributes.txt": b"1 has_bill_shape::curved_(up_or_down)\n",
            "CUB_200_2011/classes.txt": b"1 001.A\n2 002.A\n3 003.A\n",
            **{
                f"CUB_200_2011/{name}": "".join(f"{n} {row}\n" for n, row in enumerate(rows, 1)).encode()
                for name, rows in lists.items()
            },
            **{
                f"CUB_200_2011/images/{name}.jpg": drawing.jpeg
                for name, drawing in reversed(list(zip(names, drawings, strict=True)))
            },
        },
    )
    _write_tar(
        folder / "cvpr2016_cub.tar.gz",
        {
            f"cvpr2016_cub/text_c10/{name}.txt": _text(drawing.captions)
            for name, drawing in zip(names, drawings, strict=True)
            if drawing.captions
        },
    )
    _publish(monkeypatch, cub200, "IMAGES", folder)
    return folder


@pytest.fixture
def coco_archives(tmp_path: Path, drawings: list[Drawing]) -> Path:
    """Eight images for training, four for validation."""
    folder = tmp_path / "archives"
    folder.mkdir()
    lists = {}
    for part, some in (("train2017", drawings[:8]), ("val2017", drawings[8:])):
        numbered = {90 - number: drawing for number, drawing in enumerate(some)}
        images = [{"id": number, "file_name": f"{number:012}.jpg", "license": 4} for number in numbered]
        captions = [(n, caption) for n, drawing in numbered.items() for caption in drawing.captions[:5]]
        annotations = [{"id": i, "image_id": n, "caption": text} for i, (n, text) in enumerate(captions)]
        lists[f"annotations/captions_{part}.json"] = json.dumps(
            {"info": {}, "licenses": [], "images": images, "annotations": annotations}
        ).encode()
        lists[f"annotations/instances_{part}.json"] = b"{}"
        _write_zip(folder / f"{part}.zip", {f"{part}/{n:012}.jpg": d.jpeg for n, d in numbered.items()})
    _write_zip(folder / "annotations_trainval2017.zip", lists)
    return folder


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[Path], Path]:
    """Unpack the archives of a folder into another, and copy what is no archive."""

    def unpack_folder(archives: Path) -> Path:
        unpacked = tmp_path / "unpacked"
        unpacked.mkdir()
        for path in archives.iterdir():
            if path.suffix == ".mat":
                shutil.copy(path, unpacked)
            elif path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(unpacked)
            else:
                with tarfile.open(path) as archive:
                    archive.extractall(unpacked, filter="data")
        return unpacked

    return unpack_folder


class Server(NamedTuple):
    """A server of files, and what was asked of it."""

    url: str
    requests: list[tuple[str, str | None]]
    """Path and `Range` of each request."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Serve contents by name: `serve({"a.zip": content}, ranges=True)`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(contents: Mapping[str, bytes], *, ranges: bool = True, cut_at: int | None = None) -> Server:
        requests: list[tuple[str, str | None]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                requests.append((self.path, asked))
                content = contents.get(self.path.removeprefix("/"))
                if content is None:
                    self.send_error(404)
                    return
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                self.wfile.write(content[start:cut_at])

            def log_message(self, format: str, *args: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=[0.01], daemon=True).start()
        return Server(f"http://127.0.0.1:{servers[-1].server_port}/", requests)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
