"""WebDataset tar shards: `.jpg` and `.txt` or `.json` files of one name, one after the other, are a pair.

A name goes up to the first dot. Where several files of such a name have all a dot more ("shot 1.0.jpg",
"shot 1.0.txt"), their names go up to the last one.
"""

import json
import posixpath
import tarfile
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from mxqvae.data.captioned_images.captions import captions_in_text
from mxqvae.data.captioned_images.columns import (
    AskedColumns,
    Columns,
    asked_column,
    find_caption_columns,
    known_caption_columns,
)
from mxqvae.data.captioned_images.image_files import files_in_tar, is_image_name
from mxqvae.data.captioned_images.metadata_file import METADATA_NAMES
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable
from mxqvae.data.captioned_images.splitting import first_folder, splits_of_names, splits_of_shards
from mxqvae.data.captioned_images.tar_archive import (
    WholeHeader,
    damage_is_named,
    is_compressed,
    open_plain,
)
from mxqvae.errors import MxqvaeError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_tar_name(name: str) -> bool:
    """Whether a file's name says that it is a tar archive."""
    return name.lower().endswith(TAR_SUFFIXES)


class _Member(NamedTuple):
    key: str  # folder and name up to the dot
    field: str  # what follows the key, lower case, such as "jpg" or "seg.png"
    content: bytes

    def is_image(self) -> bool:
        return is_image_name(f"x.{self.field}")

    def up_to_last_dot(self) -> "_Member":
        more, _, field = self.field.rpartition(".")
        return self._replace(key=f"{self.key}.{more}", field=field)


class TarShards:
    """Shards, read one after the other, from start to end."""

    layout = "WebDataset tar shards"

    def __init__(self, paths: Sequence[Path], asked: AskedColumns) -> None:
        self._paths = paths
        self._asked = asked

    def count(self) -> int:
        return self._survey.num_images

    def __iter__(self) -> Iterator[SourcePair]:
        columns = self._columns()
        published = splits_of_shards(self._paths)
        # Of shards that name none, the folders in them may.
        in_them = {} if published else splits_of_names(self._survey.folders)
        for path in self._paths:
            with damage_is_named(path):
                for key, members in groupby(_members(path, self._survey.dotted[path]), _key):
                    pair = self._pair(f"{printable(path.name)}/{printable(key)}", list(members), columns)
                    split = pair.split or published.get(path) or in_them.get(first_folder(key))
                    yield pair._replace(split=split)

    @cached_property
    def _survey(self) -> "_Survey":
        num_images, has_texts, names, folders = 0, False, dict[str, None](), set[str]()
        dotted = {path: set[str]() for path in self._paths}
        for path in self._paths:
            halves: dict[str, bool] = {}  # the keys of samples that lack one, and whether it is the text
            with damage_is_named(path):
                for key, group in groupby(_members(path), _key):
                    members = list(group)
                    if len(members) > 1 and all("." in member.field for member in members):
                        dotted[path].add(key)
                        members = [member.up_to_last_dot() for member in members]
                    _check_order(path, members, halves)
                    for member in members:
                        if member.is_image():
                            num_images += 1
                            folders.add(first_folder(key))
                        has_texts |= member.field == "txt"
                        if member.field == "json":
                            row = _json_object(
                                member.content, f"{printable(path.name)}/{printable(member.key)}"
                            )
                            names.update(dict.fromkeys(row))
        return _Survey(num_images, has_texts, list(names), folders, dotted)

    def _columns(self) -> Columns:
        """Of the JSON files: any of them may lack a caption, the first one too."""
        _, has_texts, names, *_ = self._survey
        table = str(self._paths[0] if len(self._paths) == 1 else self._paths[0].parent)
        if self._asked.caption is None and (has_texts or not names):
            captions = known_caption_columns(names)
        else:
            captions = find_caption_columns(names, self._asked, table)
        group = asked_column(names, self._asked.group, "group", table)
        return Columns("", captions, group, asked_column(names, self._asked.split, "split", table))

    def _pair(self, name: str, members: Sequence[_Member], columns: Columns) -> SourcePair:
        fields = {member.field: member.content for member in members}
        # Beside "jpg" there may be such as "mask.png": the plainest name is the image itself.
        images = sorted((field for field in fields if is_image_name(f"x.{field}")), key=_num_dots)
        image = fields[images[0]] if images else None
        text, metadata = fields.get("txt"), fields.get("json")
        row = {} if metadata is None else _json_object(metadata, name)
        if text is not None and self._asked.caption is None:
            captions = captions_in_text(text)
        else:
            captions = columns.captions_of(row, f"{name}.json")
        group, split = columns.group_of(row), columns.split_of(row, f"{name}.json")
        return SourcePair(name, image, captions, group=group, split=split)


class _Survey(NamedTuple):
    """What all shards hold."""

    num_images: int
    has_texts: bool
    names: list[str]  # of what the JSON files say
    folders: set[str]  # the first of each image
    dotted: dict[Path, set[str]]  # of each shard, the keys up to the first dot that are no names of samples


def _walk(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The files of an archive, hard links among them, in its order."""
    with open_plain(path) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=WholeHeader) as tar:
        for member in tar:
            if (member.isreg() or member.islnk()) and not posixpath.basename(member.name).startswith("."):
                yield tar, member


def _members(path: Path, dotted: Set[str] | None = None) -> Iterator[_Member]:
    """What is of use in an archive.

    Args:
        dotted: Keys up to the first dot of files that take them up to the last one; None to find that out,
            from all names, with the content of JSON files alone.
    """
    contents = _Contents(path)
    for tar, member in _walk(path):
        if posixpath.basename(member.name) in METADATA_NAMES:
            raise MxqvaeError(
                f"{path}: compressed, and holds {printable(member.name)}; unpack it and give the folder"
            )
        key, field = _key_and_field(member, dotted or ())
        kind = field if dotted is not None else field.rpartition(".")[2]
        if is_image_name(member.name) or kind in ("txt", "json"):
            wanted = dotted is not None or kind == "json"
            yield _Member(key, field, contents.read(tar, member) if wanted else b"")


def _check_order(path: Path, members: Sequence[_Member], halves: dict[str, bool]) -> None:
    """Refuse the other half of a sample that came before; `halves` are those, and are added to."""
    for key, some in groupby(members, _key):
        of_use = [member for member in some if member.is_image() or member.field in ("txt", "json")]
        are_images = {member.is_image() for member in of_use}
        if len(are_images) == 1 and halves.setdefault(key, True in are_images) not in are_images:
            raise MxqvaeError(
                f"{path}: files of {printable(key)} lie apart; files of one name must follow each other, as "
                "`tar --sort=name` packs them"
            )


def _key(member: _Member) -> str:
    return member.key


def _key_and_field(member: tarfile.TarInfo, dotted: Container[str]) -> tuple[str, str]:
    folder, name = posixpath.split(member.name.removeprefix("./"))
    stem, _, field = name.partition(".")
    if posixpath.join(folder, stem) in dotted:
        stem, _, field = name.rpartition(".")
    return posixpath.join(folder, stem), field.lower()


class _Contents:
    """Reads what files of one archive hold."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        if member.islnk():  # its content came before, and a stream does not go back
            place = self._places.get(member.name.removeprefix("./"))
            if place is None:
                raise MxqvaeError(
                    f"{self._path}: {printable(member.name)} is a hard link; pack again with "
                    "`tar --hard-dereference`"
                )
            return place.read()
        file = tar.extractfile(member)
        assert file is not None
        return file.read()

    @cached_property
    def _places(self) -> Mapping[str, FileRange]:
        return {} if is_compressed(self._path) else files_in_tar(self._path)


def _num_dots(field: str) -> int:
    return field.count(".")


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        row = json.loads(content.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MxqvaeError(f"{name}.json: not JSON ({error}); fix it") from None
    if not isinstance(row, dict):
        raise MxqvaeError(f"{name}.json: not a JSON object; fix it")
    return row
