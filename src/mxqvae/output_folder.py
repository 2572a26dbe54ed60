"""Output folders appear whole or not at all, and never over somebody's content unasked."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

CONTACT_SHEET_NAME = "contact_sheet.png"
"""The picture of some pairs in folders of pairs, drawn ones and data sets."""


def check_output_folder(out: Path, *, overwrite: bool = False) -> None:
    """Refuse `out` when it cannot become an output folder; call it before a long job starts.

    Raises:
        MxqvaeError: `out` is a file or a mount point, has content and `overwrite` is false, or holds the
            working or the home folder.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise MxqvaeError(f"{out} is not a folder; choose another output folder")
    if out.is_mount():
        raise MxqvaeError(f"{out} is a mount point, which cannot be replaced; choose a folder in it")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise MxqvaeError(f"output folder {out} is not empty; choose another, or replace it with --overwrite")
    for place, name in ((Path.cwd(), "the working folder"), (Path.home(), "your home folder")):
        if place.is_relative_to(out.resolve()):
            raise MxqvaeError(f"output folder {out} holds {name} and is not overwritten; choose another")


def check_sources_stay(out: Path, *sources: Path | str | None) -> None:
    """Refuse to write where what is to be read lies: overwriting `out` would take it away.

    Args:
        sources: Files and folders; names of hub repositories and None may be among them.

    Raises:
        MxqvaeError: One of `sources` is `out` or lies in it.
    """
    for source in (Path(source) for source in sources if source):
        if source.exists() and source.resolve().is_relative_to(out.resolve()):
            raise MxqvaeError(f"output folder {out} holds {source}, which is to be read; choose another")


@contextmanager
def new_output_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `out` that becomes `out` when the block ends without an error.

    On any error in the block, Ctrl-C included, the folder is removed and `out` stays as it was. With
    `overwrite` the old content is put aside only when the new one is complete, and removed last.

    Raises:
        MxqvaeError: As `check_output_folder`; or the folder cannot take the place of `out`, and stays.
    """
    check_output_folder(out, overwrite=overwrite)
    target = out.resolve()
    made_parents = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _sibling(target, "partial")
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            for parent in made_parents:
                parent.rmdir()
        raise
    # What took hours is not lost because somebody wrote to `out` meanwhile.
    try:
        check_output_folder(out, overwrite=overwrite)
        _move_into_place(partial, target)
    except (MxqvaeError, OSError) as error:
        raise MxqvaeError(f"{error}; what was made lies in {partial}") from None


@contextmanager
def resumed_output_folder(
    out: Path, record: str, identity: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator[Path]:
    """Yield a folder beside `out` that becomes `out` when the block ends without an error, and else stays.

    The next block for `out` gets it again, with all that is in it.

    Args:
        record: Name of the file that tells in the folder whose it is; it stays there.
        identity: What decides the content: JSON types, by name.

    Raises:
        MxqvaeError: As `check_output_folder`, or the folder beside `out` was begun with another identity.
    """
    check_output_folder(out, overwrite=overwrite)
    target = out.resolve()
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    _claim(unfinished, unfinished / record, json.loads(json.dumps(identity)))
    yield unfinished
    check_output_folder(out, overwrite=overwrite)  # again: the block may have taken hours
    _move_into_place(unfinished, target)


def _claim(unfinished: Path, record: Path, identity: dict[str, Any]) -> None:
    """Write `identity` to `record`, or see that it is what stands there."""
    if not record.is_file():
        with new_output_file(record) as partial:
            partial.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        return
    try:
        begun = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        begun = None
    if not isinstance(begun, dict):
        raise MxqvaeError(f"{record} is damaged; remove {unfinished} and begin again")
    others = [name for name in {**begun, **identity} if begun.get(name) != identity.get(name)]
    if others:
        raise MxqvaeError(
            f"{unfinished} holds the unfinished work of a command with other {', '.join(others)}; "
            "give that command again, or remove the folder"
        )


def _move_into_place(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path, purpose: str) -> Path:
    # Hidden, so that a listing or a data loader beside a running job does not take it for a result.
    return target.with_name(f".{target.name}.{purpose}-{secrets.token_hex(4)}")
