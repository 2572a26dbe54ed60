import io
import json
import tarfile
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.tar_shards import TarShards, is_tar_name
from mxqvae.errors import MxqvaeError

NOTHING_ASKED = AskedColumns()


def write(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def read(path: Path, asked: AskedColumns = NOTHING_ASKED) -> list[SourcePair]:
    return list(TarShards([path], asked))


def test_fields_of_a_sample(tmp_path: Path):
    path = write(
        tmp_path / "a.tar",
        {
            "x/1.mask.png": b"mask",
            "x/1.jpg": b"photo",
            "x/1.txt": b"one\ntwo",
            "x/1.json": json.dumps({"caption": "other", "alt": "more", "id": 5}).encode(),
            "x/2.jpg": b"no caption",
            "y/2.txt": b"no image",
            "y/._3.jpg": b"hidden",
            "y/3.cls": b"7",
        },
    )
    assert [pair[:4] for pair in read(path)] == [
        ("a.tar/x/1", b"photo", ("one", "two"), None),
        ("a.tar/x/2", b"no caption", (), None),
        ("a.tar/y/2", None, ("no image",), None),
    ]
    assert TarShards([path], AskedColumns()).count() == 3
    # A column that is asked for is one of the JSON file.
    (first, *_) = read(path, AskedColumns(caption="alt", group="id"))
    assert (first.captions, first.group) == (("more",), "5")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shards(tmp_path: Path, mode: str):
    path = write(tmp_path / f"a.tar.{mode[2:]}", {"1.png": b"image", "1.txt": b"one"}, mode)
    assert is_tar_name(path.name)
    assert [(pair.image, pair.captions) for pair in read(path)] == [(b"image", ("one",))]


@pytest.mark.parametrize("keep", [0, 100, 700])
def test_damage_is_named(tmp_path: Path, keep: int):
    path = write(tmp_path / "a.tar", {"1.png": bytes(1000)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MxqvaeError, match=r"a\.tar: damaged tar archive \(.*\); replace it"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"a\.tar/1\.json: not JSON"),
        (b"[]", r"a\.tar/1\.json: not a JSON object"),
        (b'{"id": 1}', r"a\.tar/1\.json: no caption column found among id"),
    ],
)
def test_a_json_file_that_says_nothing(tmp_path: Path, content: bytes, message: str):
    path = write(tmp_path / "a.tar", {"1.json": content, "1.png": b""})
    with pytest.raises(MxqvaeError, match=message):
        read(path)
