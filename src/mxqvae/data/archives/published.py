"""Files that others have published: found in a folder or the cache, or fetched, and known by checksum."""

import base64
import hashlib
import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mxqvae.data.archives.download import download
from mxqvae.data.mnist import cache_folder
from mxqvae.errors import MxqvaeError
from mxqvae.progress import NoProgress, Progress

_MAGIC = {".zip": b"PK", ".tgz": b"\x1f\x8b", ".gz": b"\x1f\x8b"}
"""First bytes of what is fetched: where a quota is used up, some servers send a page in its place."""


class PublishedFile(NamedTuple):
    """A file that is published on the web."""

    name: str
    """Such as "102flowers.tgz"."""
    page: str
    """Where a person finds it."""
    urls: tuple[str, ...]
    """Where it is fetched from, tried in this order."""
    md5: str | None = None
    """As published, in hexadecimal; None where it is not."""
    unpacked: str | None = None
    """The folder that stands for an archive once it is unpacked."""
    sha512: str | None = None
    """As published, in base64 as npm's `integrity` has it; None where it is not."""

    @property
    def checksum(self) -> tuple[str, str] | None:
        """Its kind and its value; None where none is published."""
        if self.sha512 is not None:
            return "SHA-512", self.sha512
        return None if self.md5 is None else ("MD5", self.md5)


def find_published(
    files: Sequence[PublishedFile],
    archives: Path | None,
    *,
    title: str,
    progress: Progress | None = None,
) -> list[Path]:
    """Find each file, or the folder that was unpacked from it.

    An archive goes before a folder, as its checksum can be compared. Without `archives`, files come from the
    cache, and what is not there is fetched into it.

    Args:
        archives: Folder with all of the files or what they unpack to, there or one folder below.
        title: Of the set, such as "Flower-102", for an error; the cache's folder is named after it.

    Returns:
        A path for each file, in order.

    Raises:
        MxqvaeError: Names the files that are missing, or the one that is truncated or altered.
    """
    if archives is None:
        return _find_or_fetch(files, cache_folder() / title.lower(), title, progress or NoProgress())
    if not archives.is_dir():
        raise MxqvaeError(f"--archives {archives}: no such folder; name another, or none to fetch the files")
    found = [_find(file, archives) for file in files]
    if missing := [file for file, path in zip(files, found, strict=True) if path is None]:
        lacks = "; ".join(_described(file) for file in missing)
        raise MxqvaeError(f"{archives} lacks {lacks}; put it there, or name no folder to have it fetched")
    paths = [path for path in found if path is not None]
    for file, path in zip(files, paths, strict=True):
        _check(file, path, "put the original there" + (", or what it unpacks to" if file.unpacked else ""))
    return paths


def _find(file: PublishedFile, folder: Path) -> Path | None:
    if (folder / file.name).is_file():
        return folder / file.name
    if file.unpacked is None:
        return None
    places = [path for path in (folder / file.unpacked, *folder.glob(f"*/{file.unpacked}")) if path.is_dir()]
    if len(places) > 1:
        both = " and ".join(str(place) for place in sorted(places))
        raise MxqvaeError(f"--archives {folder} holds {both}; name a folder with one of them")
    return places[0] if places else None


def _described(file: PublishedFile) -> str:
    folder = f" or its folder {file.unpacked}/" if file.unpacked else ""
    checksum = ", " + " ".join(file.checksum) if file.checksum else ""
    return f"{file.name}{folder} (from {file.page}{checksum})"


def _check(file: PublishedFile, path: Path, remedy: str) -> None:
    """Refuse a file whose checksum is not the published one; a folder is taken as it is."""
    if file.checksum is None or path.is_dir():
        return
    kind, published = file.checksum
    with path.open("rb") as content:
        if kind == "MD5":
            digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        else:
            digest = base64.b64encode(hashlib.file_digest(content, "sha512").digest()).decode()
    if digest != published:
        raise MxqvaeError(
            f"{path}: truncated or altered ({kind} {digest}, the published one is {published}); {remedy}"
        )


def _find_or_fetch(files: Sequence[PublishedFile], cache: Path, title: str, progress: Progress) -> list[Path]:
    for file in files:
        path = cache / file.name
        if path.is_file():
            _check(file, path, "delete it, and it is fetched again")
        elif failures := _fetch(file, path, progress):
            # No other is tried: without a network, each would take its time to fail.
            needed = [file for file in files if not (cache / file.name).is_file()]
            raise MxqvaeError(
                f"{title} is not at hand, and {file.name} could not be fetched ({'; '.join(failures)}); put "
                f"these files into {cache} or a folder named by --archives: "
                f"{'; '.join(map(_described, needed))}"
            )
    return [cache / file.name for file in files]


def _fetch(file: PublishedFile, path: Path, progress: Progress) -> list[str]:
    """Fetch from the first address that has the file; or say of each why it has not."""
    failures = []
    for url in file.urls:
        try:
            download(url, path, progress)
            _check_magic(path)
            _check(file, path, "")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
        except MxqvaeError as error:
            failures.append(f"{url}: {str(error).partition('; ')[0]}")
            path.unlink()
        else:
            return []
    return failures


def _check_magic(path: Path) -> None:
    magic = _MAGIC.get(path.suffix, b"")
    with path.open("rb") as content:
        if content.read(len(magic)) != magic:
            raise MxqvaeError("a page came in its place")
