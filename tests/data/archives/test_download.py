import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives.download import download
from mxqvae.progress import NoProgress

CONTENT = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a.zip"


@pytest.fixture
def partial(path: Path) -> Path:
    path.parent.mkdir()
    return path.with_name(".a.zip.partial")


def test_the_file_comes_whole(serve: Callable, path: Path):
    download(serve({"a.zip": CONTENT}).url + "a.zip", path, NoProgress())
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_download_goes_on(serve: Callable, path: Path, partial: Path):
    server = serve({"a.zip": CONTENT}, cut_at=1_000_000)
    with pytest.raises(OSError, match=r"only 1,000,000 of 5,120,000 bytes came; try again for the rest"):
        download(server.url + "a.zip", path, NoProgress())
    assert not path.exists()
    assert partial.read_bytes() == CONTENT[:1_000_000]
    server = serve({"a.zip": CONTENT})
    download(server.url + "a.zip", path, NoProgress())
    assert server.requests == [("/a.zip", "bytes=1000000-")]
    assert path.read_bytes() == CONTENT
    assert not partial.exists()


def test_a_server_that_knows_no_ranges_sends_all_again(serve: Callable, path: Path, partial: Path):
    partial.write_bytes(b"another beginning")
    download(serve({"a.zip": CONTENT}, ranges=False).url + "a.zip", path, NoProgress())
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("there", [CONTENT, CONTENT + b"more"])
def test_what_is_too_long_is_fetched_again(serve: Callable, path: Path, partial: Path, there: bytes):
    partial.write_bytes(there)
    download(serve({"a.zip": CONTENT}).url + "a.zip", path, NoProgress())
    assert path.read_bytes() == CONTENT


def test_nothing_is_left_where_there_is_no_such_file(serve: Callable, path: Path):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        download(serve({}).url + "a.zip", path, NoProgress())
    assert not path.parent.exists()
