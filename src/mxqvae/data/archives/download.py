"""Fetches one large file over the network; what an interrupted try has brought is gone on with."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from mxqvae.progress import Progress

TIMEOUT = 20.0
"""Seconds without a byte after which a server counts as dead."""
_CHUNK = 1 << 20
_AGENT = {"User-Agent": "mxqvae"}


def download(url: str, path: Path, progress: Progress) -> None:
    """Fetch `url` to `path`, which appears when it is whole.

    Until then its bytes lie beside it in a hidden `.partial` file, and the next call asks for the rest.

    Raises:
        OSError: The server cannot be reached, has no such file, or falls silent.
    """
    partial = path.with_name(f".{path.name}.partial")
    num_there = partial.stat().st_size if partial.exists() else 0
    try:
        response = _open(url, num_there)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": the file is whole already, or another one
            raise
        partial.unlink()
        num_there, response = 0, _open(url, 0)
    with response:
        if response.status != 206:  # the server sends the file from its beginning
            num_there = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else num_there + int(length)
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab" if num_there else "wb") as file:
            num_now = _copy(response, file, path.name, num_there, total, progress)
    if total is not None and num_now < total:
        raise OSError(f"{url}: only {num_now:,} of {total:,} bytes came; try again for the rest")
    partial.replace(path)


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = _AGENT | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def _copy(
    response: IO[bytes], file: IO[bytes], name: str, num_there: int, total: int | None, progress: Progress
) -> int:
    """Copy to the end; the number of bytes that are there then."""
    megabytes = [num_there >> 20, (total or 0) >> 20]
    with progress.task(f"fetch {name}", total=megabytes[1], unit="MB", done=megabytes[0]) as advance:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            num_there += len(chunk)
            advance((num_there >> 20) - megabytes[0])
            megabytes[0] = num_there >> 20
    return num_there
