"""Output files appear whole or not at all; `output_folder` does the same for folders."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_output_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of `path` when the block ends without an error.

    It lies in the same folder, where a rename is atomic; the folder is made where it is missing. On any
    error, Ctrl-C included, `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that a listing beside a running job does not take it for a result.
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
