import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives.published import PublishedFile, find_published
from mxqvae.errors import MxqvaeError

CONTENT = gzip.compress(b"pictures")
LIST = b"a list"
PICTURES = PublishedFile(
    "pictures.tgz",
    "https://example.org/pictures",
    (),
    md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    unpacked="jpg",
)
NAMES = PublishedFile("names.mat", "https://example.org/names", ())


def find(archives: Path | None, files: tuple[PublishedFile, ...] = (PICTURES, NAMES)) -> list[Path]:
    return find_published(files, archives, title="Pictures")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "pictures.tgz").write_bytes(CONTENT)
    (folder / "names.mat").write_bytes(LIST)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXQVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


class TestGivenFolder:
    def test_archives_go_before_folders(self, folder: Path):
        (folder / "jpg").mkdir()
        assert find(folder) == [folder / "pictures.tgz", folder / "names.mat"]

    @pytest.mark.parametrize("place", ["jpg", "flowers/jpg"])
    def test_a_folder_stands_for_its_archive(self, folder: Path, place: str):
        (folder / "pictures.tgz").unlink()
        (folder / place).mkdir(parents=True)
        assert find(folder) == [folder / place, folder / "names.mat"]

    def test_two_folders_are_one_too_many(self, folder: Path):
        (folder / "pictures.tgz").unlink()
        for place in ("b/jpg", "a/jpg"):
            (folder / place).mkdir(parents=True)
        with pytest.raises(MxqvaeError, match=r"holds .*/a/jpg and .*/b/jpg; name a folder with one of them"):
            find(folder)

    def test_all_that_is_missing_is_named(self, folder: Path):
        for path in folder.iterdir():
            path.unlink()
        message = (
            r"lacks pictures\.tgz or its folder jpg/ \(from https://example\.org/pictures, "
            rf"MD5 {PICTURES.md5}\); names\.mat \(from https://example\.org/names\); put it there"
        )
        with pytest.raises(MxqvaeError, match=message):
            find(folder)

    def test_an_altered_file_is_refused_by_name(self, folder: Path):
        (folder / "pictures.tgz").write_bytes(CONTENT[:-1])
        message = (
            rf"pictures\.tgz: truncated or altered \(MD5 \w+, .* {PICTURES.md5}\); put the original there, or"
        )
        with pytest.raises(MxqvaeError, match=message):
            find(folder)

    def test_no_such_folder(self, tmp_path: Path):
        with pytest.raises(MxqvaeError, match=r"--archives .*nowhere: no such folder"):
            find(tmp_path / "nowhere")


class TestFetched:
    def test_once_then_kept(self, cache: Path, serve: Callable):
        server = serve({"pictures.tgz": CONTENT, "names.mat": LIST})
        files = (
            PICTURES._replace(urls=(server.url + "missing", server.url + "pictures.tgz")),
            NAMES._replace(urls=(server.url + "names.mat",)),
        )
        for _ in range(2):
            assert find(None, files) == [cache / "pictures.tgz", cache / "names.mat"]
        assert [path for path, _ in server.requests] == ["/missing", "/pictures.tgz", "/names.mat"]
        assert (cache / "pictures.tgz").read_bytes() == CONTENT

    def test_an_altered_file_is_not_kept(self, cache: Path, serve: Callable):
        server = serve({"page": b"<html>quota exceeded</html>", "short": CONTENT[:-1]})
        urls = tuple(server.url + name for name in ("page", "short", "missing"))
        with pytest.raises(MxqvaeError) as refusal:
            find(None, (PICTURES._replace(urls=urls), NAMES))
        message = str(refusal.value)
        assert message.startswith("Pictures is not at hand, and pictures.tgz could not be fetched (")
        assert f"{urls[0]}: a page came in its place" in message
        assert f"{urls[1]}: {cache / 'pictures.tgz'}: truncated or altered (MD5" in message
        assert f"{urls[2]}: HTTP Error 404" in message
        assert "names.mat (from https://example.org/names)" in message
        assert f"put these files into {cache} or a folder named by --archives: " in message
        assert "\n" not in message
        assert not (cache / "pictures.tgz").exists()

    def test_an_altered_file_in_the_cache_is_refused(self, cache: Path):
        cache.mkdir(parents=True)
        (cache / "pictures.tgz").write_bytes(CONTENT + b"x")
        with pytest.raises(
            MxqvaeError, match=r"pictures\.tgz: truncated .*; delete it, and it is fetched again"
        ):
            find(None)
