"""A captions file of MS-COCO (Chen et al. 2015), or of a set in its format."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mxqvae.data.captioned_images.image_files import ImageFinder
from mxqvae.data.captioned_images.source import SourcePair, printable
from mxqvae.data.captioned_images.splitting import splits_of_names, top_folder
from mxqvae.errors import MxqvaeError


class CocoJson:
    """One JSON file; the captions are read whole, images one at a time.

    Without `images`, they are looked for beside the file, in the folder above, and in folders there that are
    named like the end of the file's name: `train2017` for `captions_train2017.json`.
    """

    layout = "COCO captions"

    def __init__(self, path: Path, images: Path | None = None) -> None:
        self._path = path
        self._captions = captions_of_files(path.read_bytes(), str(path))
        name = path.stem.rpartition("_")[2]
        places = [path.parent / name, path.parent.parent / name, path.parent / "images", path.parent]
        self._finder = ImageFinder(
            [images] if images else [place for place in [*places, path.parent.parent] if place.is_dir()]
        )

    def count(self) -> int:
        return len(self._captions)

    def __iter__(self) -> Iterator[SourcePair]:
        published = splits_of_names(set(map(top_folder, self._captions)))
        for name, captions in self._captions.items():
            split = published.get(top_folder(name))
            yield SourcePair(printable(name), self._finder.find(name), tuple(captions), split=split)


def captions_of_files(content: bytes, where: str) -> dict[str, list[str]]:
    """The captions of each file name, in the order of `images`.

    Args:
        content: A captions file.
        where: Its name, for an error.

    Raises:
        MxqvaeError: It is no such file, two images have one id, or a caption's image is not listed.
    """
    try:
        tree = json.loads(content.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MxqvaeError(f"{where}: not JSON ({error}); fix it") from None
    if isinstance(tree, list):
        raise MxqvaeError(
            f"{where}: a list, where COCO's captions files have an object; write its entries to a "
            "metadata.jsonl, one a line, beside the images, and give that"
        )
    try:
        names: dict[Any, str] = {}
        for image in tree["images"]:
            name = str(image["file_name"])
            if names.setdefault(image["id"], name) != name:
                raise MxqvaeError(
                    f"{where}: {names[image['id']]} and {name} have one id, {image['id']}; give each its own"
                )
        captions: dict[str, list[str]] = {name: [] for name in names.values()}
        for annotation in tree["annotations"]:
            image_id = annotation["image_id"]
            if image_id not in names:
                raise MxqvaeError(
                    f"{where}: a caption's image_id is {image_id!r}, which no image has as its id; add the "
                    "image to `images`, or take the caption out"
                )
            captions[names[image_id]].append(_text(annotation["caption"]))
    except (KeyError, TypeError) as error:
        raise MxqvaeError(
            f"{where}: not a COCO captions file ({_reason(error)}); such a file has `images` "
            "with id and file_name, and `annotations` with image_id and caption"
        ) from None
    return captions


def _text(caption: Any) -> str:
    if caption is None or caption != caption:  # null, or the NaN of a table with gaps
        return ""
    if not isinstance(caption, str):
        raise TypeError("a caption is no text")
    return caption


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
