"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011) with the captions of Reed et al. (2016)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mxqvae.data.archives.contents import Contents, open_contents
from mxqvae.data.archives.published import PublishedFile, find_published
from mxqvae.data.archives.reed_captions import FOLDER, Captions, read_reed_captions
from mxqvae.data.archives.unseen_classes import read_test_classes
from mxqvae.data.captioned_images.card import CardText
from mxqvae.data.captioned_images.source import Box, SourcePair
from mxqvae.data.captioned_images.splitting import TEST, TRAIN
from mxqvae.errors import MxqvaeError
from mxqvae.progress import Progress

_ROOT = "CUB_200_2011"

IMAGES = PublishedFile(
    "CUB_200_2011.tgz",
    "https://data.caltech.edu/records/65de6-vp158",
    ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",),
    md5="97eceeb196236b17998738112f37df78",
    unpacked=_ROOT,
)
CAPTIONS = PublishedFile(
    "cvpr2016_cub.tar.gz",
    "https://github.com/reedscot/cvpr2016",
    (
        "https://drive.usercontent.google.com/download?id=0B0ywwgffWnLLZW9uVHNjb2JmNlE&export=download"
        "&confirm=t&resourcekey=0-8y2UVmBHAlG26HafWYNoFQ",
    ),
    unpacked=FOLDER,
)

CARD = CardText(
    title="CUB-200-2011 with captions",
    terms=(
        "Images: C. Wah et al., The Caltech-UCSD Birds-200-2011 dataset, 2011; for non-commercial research "
        "and education, the photographs belong to their authors. Captions: S. Reed et al., Learning deep "
        "representations of fine-grained visual descriptions, CVPR 2016; no terms are stated."
    ),
    crop="cropped to the square around the bird's bounding box, as far as the image reaches,",
    splits="Splits are those of `train_test_split.txt`.",
)
CARD_OF_UNSEEN_CLASSES = CARD._replace(
    splits="The test split has species of which no image is for training, those of the list that was given."
)


class Cub200:
    """Images in the order of `images.txt`, named as there: `001.Black_footed_Albatross/NAME.jpg`."""

    layout = "CUB-200-2011 and Reed et al.'s captions"

    def __init__(self, contents: Contents, captions: Captions, test_classes: Path | None = None) -> None:
        """Read the set's lists.

        Raises:
            MxqvaeError: A list is missing, or a line of one lacks something.
        """
        names = _read_list(contents, "images.txt", num_values=1)
        self._names = {number: name for number, (name,) in names.items()}
        self._boxes = _read_boxes(contents)
        if test_classes is None:
            self._test_numbers = _read_test_numbers(contents)
        else:
            listed = read_test_classes(test_classes, {_class_of(name) for name in self._names.values()})
            self._test_numbers = {number for number, name in self._names.items() if _class_of(name) in listed}
        self._contents = contents
        self._captions = captions

    def count(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[SourcePair]:
        for number, name in self._names.items():
            yield SourcePair(
                name,
                self._contents.image(f"images/{name}"),
                self._captions.get(name.rpartition(".")[0], ()),
                split=TEST if number in self._test_numbers else TRAIN,
                box=self._boxes.get(number),
            )


@contextmanager
def open_cub200(
    archives: Path | None = None, *, test_classes: Path | None = None, progress: Progress | None = None
) -> Iterator[Cub200]:
    """Find CUB-200-2011 and its captions, or fetch them, and open them.

    Args:
        archives: Folder with the published files, or with `CUB_200_2011` and `text_c10` in their place;
            without it they are fetched to the cache.
        test_classes: List of the species that are for testing, in place of the published split.

    Raises:
        MxqvaeError: A file is missing, altered or damaged.
    """
    images, captions = find_published((IMAGES, CAPTIONS), archives, title="CUB-200-2011", progress=progress)
    with open_contents(images, _ROOT, progress) as contents:
        yield Cub200(contents, read_reed_captions(captions), test_classes)


def _read_boxes(contents: Contents) -> dict[int, Box]:
    lists = _read_list(contents, "bounding_boxes.txt", num_values=4)
    try:
        return {number: Box(*map(float, values)) for number, values in lists.items()}
    except ValueError as error:
        raise MxqvaeError(f"{contents.path}, bounding_boxes.txt: {error}; put the original there") from None


def _read_test_numbers(contents: Contents) -> set[int]:
    is_for_training = _read_list(contents, "train_test_split.txt", num_values=1)
    return {number for number, (flag,) in is_for_training.items() if flag == "0"}


def _read_list(contents: Contents, name: str, *, num_values: int) -> dict[int, list[str]]:
    """A list of the set: on each line an image's number, and after it values without spaces."""
    rows = {}
    lines = contents.read(name).decode("utf-8", "replace").splitlines()
    for line_number, line in enumerate(lines, start=1):
        number, *values = line.split() or [""]
        if not number.isdecimal() or len(values) != num_values:
            raise MxqvaeError(
                f"{contents.path}, {name}, line {line_number}: not an image's number and {num_values} more; "
                "put the original there"
            )
        rows[int(number)] = values
    return rows


def _class_of(name: str) -> int:
    """The number of the species that an image's folder begins with; 0 where it does not."""
    digits = name.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0
