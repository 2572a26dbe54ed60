"""MS-COCO 2017 captions (Chen et al. 2015): 118,287 training and 5,000 validation images, five captions each.

The captions of the test images are not published: the validation images are the test split here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from mxqvae.data.archives.contents import Contents, open_contents
from mxqvae.data.archives.published import PublishedFile, find_published
from mxqvae.data.captioned_images.card import CardText
from mxqvae.data.captioned_images.coco_json import captions_of_files
from mxqvae.data.captioned_images.source import SourcePair, printable
from mxqvae.data.captioned_images.splitting import TEST, TRAIN
from mxqvae.progress import Progress

_PAGE = "https://cocodataset.org/#download"
_FOLDER = "http://images.cocodataset.org/"
_ANNOTATIONS = "annotations"


def _of_coco(name: str, place: str, unpacked: str) -> PublishedFile:
    return PublishedFile(name, _PAGE, (f"{_FOLDER}{place}/{name}",), unpacked=unpacked)


ANNOTATIONS = _of_coco("annotations_trainval2017.zip", "annotations", _ANNOTATIONS)
PARTS = {TRAIN: "train2017", TEST: "val2017"}
"""The set's own names of the splits."""
IMAGES = tuple(_of_coco(f"{part}.zip", "zips", part) for part in PARTS.values())

CARD = CardText(
    title="MS-COCO 2017 captions",
    terms=(
        "Captions: X. Chen et al., Microsoft COCO captions, 2015; CC BY 4.0. The images come from Flickr, "
        "and each has a licence of its own, named in the annotations; Flickr's terms of use hold for them."
    ),
    splits="The set's `train2017` is the training split and its `val2017` the test split.",
)


class CocoPart(NamedTuple):
    """One part of COCO."""

    split: str
    name: str
    """Such as "train2017"."""
    images: Contents
    captions: dict[str, list[str]]
    """By file name."""


class Coco:
    """Both parts, images in the order of the annotations, named such as `val2017/000000000139.jpg`."""

    layout = "MS-COCO 2017 captions"

    def __init__(self, parts: Sequence[CocoPart]) -> None:
        self._parts = parts

    def count(self) -> int:
        return sum(len(part.captions) for part in self._parts)

    def __iter__(self) -> Iterator[SourcePair]:
        for part in self._parts:
            for name, captions in part.captions.items():
                image = part.images.image(name)
                yield SourcePair(printable(f"{part.name}/{name}"), image, tuple(captions), split=part.split)


@contextmanager
def open_coco(archives: Path | None = None, *, progress: Progress | None = None) -> Iterator[Coco]:
    """Find COCO 2017, or fetch it (20 GB), and open it.

    Args:
        archives: Folder with the published files, or with `annotations`, `train2017` and `val2017` in their
            place; without it they are fetched to the cache.

    Raises:
        MxqvaeError: A file is missing or damaged.
    """
    annotations, *images = find_published(
        (ANNOTATIONS, *IMAGES), archives, title="COCO-2017", progress=progress
    )
    with ExitStack() as stack:
        lists = stack.enter_context(open_contents(annotations, _ANNOTATIONS))
        parts = []
        for (split, name), path in zip(PARTS.items(), images, strict=True):
            file_name = f"captions_{name}.json"
            captions = captions_of_files(lists.read(file_name), f"{lists.path}/{file_name}")
            parts.append(CocoPart(split, name, stack.enter_context(open_contents(path, name)), captions))
        yield Coco(parts)
