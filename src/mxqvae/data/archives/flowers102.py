"""Oxford Flower-102 (Nilsback and Zisserman 2008) with the captions of Reed et al. (2016).

The set's own parts were made for classifiers that learn from few images: `trnid` and `valid` have ten images
of each class, `tstid` the other 6,149. A generator needs many images: here `valid` is the test split, and all
others are for training. Which split the paper took is not known.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mxqvae.data.archives.contents import Contents, open_contents
from mxqvae.data.archives.published import PublishedFile, find_published
from mxqvae.data.archives.reed_captions import FOLDER, Captions, read_reed_captions
from mxqvae.data.archives.unseen_classes import read_test_classes
from mxqvae.data.captioned_images.card import CardText
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.splitting import TEST, TRAIN
from mxqvae.errors import MxqvaeError
from mxqvae.progress import Progress

_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_FOLDERS = (_PAGE, "https://thor.robots.ox.ac.uk/flowers/102/")


def _of_vgg(name: str, md5: str, unpacked: str | None = None) -> PublishedFile:
    return PublishedFile(name, _PAGE, tuple(folder + name for folder in _FOLDERS), md5, unpacked)


IMAGES = _of_vgg("102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", unpacked="jpg")
LABELS = _of_vgg("imagelabels.mat", "e0620be6f572b9609742df49c70aed4d")
PARTS = _of_vgg("setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c")
CAPTIONS = PublishedFile(
    "cvpr2016_flowers.tar.gz",
    "https://github.com/reedscot/cvpr2016",
    (
        "https://drive.usercontent.google.com/download?id=0B0ywwgffWnLLcms2WWJQRFNSWXM&export=download"
        "&confirm=t&resourcekey=0-Av8zFbeDDvNcF1sSjDR32w",
    ),
    unpacked=FOLDER,
)

CARD = CardText(
    title="Oxford Flower-102 with captions",
    terms=(
        "Images and labels: M.-E. Nilsback and A. Zisserman, Automated flower classification over a large "
        "number of classes, 2008; no terms are stated, the photographs belong to their authors: for "
        "research, not to be passed on. Captions: S. Reed et al., Learning deep representations of "
        "fine-grained visual descriptions, CVPR 2016; no terms are stated."
    ),
    splits=(
        "The set's part `valid` (ten images of each class) is the test split; `trnid` and `tstid` are for "
        "training."
    ),
)
CARD_OF_UNSEEN_CLASSES = CARD._replace(
    splits="The test split has classes of which no image is for training, those of the list that was given."
)

_TEST_PART = "valid"
_TRAINING_PARTS = ("trnid", "tstid")


class Flowers102:
    """Images by their number, each named with its class: `class_00077/image_00001.jpg`."""

    layout = "Oxford Flower-102 and Reed et al.'s captions"

    def __init__(
        self, images: Contents, classes: dict[int, int], split_of: dict[int, str], captions: Captions
    ) -> None:
        """Put together what the files say.

        Args:
            classes: By the image's number, both from 1.
            split_of: By the image's number.
        """
        self._images = images
        self._classes = classes
        self._split_of = split_of
        self._captions = captions

    def count(self) -> int:
        return len(self._split_of)

    def __iter__(self) -> Iterator[SourcePair]:
        for number in sorted(self._split_of):
            image = f"image_{number:05}"
            name = f"class_{self._classes[number]:05}/{image}"
            yield SourcePair(
                f"{name}.jpg",
                self._images.image(f"{image}.jpg"),
                self._captions.get(name, ()),
                split=self._split_of[number],
            )


@contextmanager
def open_flowers102(
    archives: Path | None = None, *, test_classes: Path | None = None, progress: Progress | None = None
) -> Iterator[Flowers102]:
    """Find Flower-102 and its captions, or fetch them, and open them.

    Args:
        archives: Folder with the published files, or with `jpg` and `text_c10` in the place of archives;
            without it they are fetched to the cache.
        test_classes: List of the classes that are for testing, in place of the published parts.

    Raises:
        MxqvaeError: A file is missing, altered or damaged; or scipy is not installed.
    """
    files = (IMAGES, LABELS, PARTS, CAPTIONS)
    images, labels, parts, captions = find_published(files, archives, title="Flower-102", progress=progress)
    classes = {number: int(label) for number, label in enumerate(_read_mat(labels, "labels"), start=1)}
    split_of = {number: TRAIN for name in _TRAINING_PARTS for number in _read_mat(parts, name).tolist()}
    split_of |= dict.fromkeys(_read_mat(parts, _TEST_PART).tolist(), TEST)
    if unknown := split_of.keys() - classes.keys():
        raise MxqvaeError(f"{parts}: image {min(unknown)} has no label in {labels}; use files of one release")
    if test_classes is not None:
        listed = read_test_classes(test_classes, frozenset(classes.values()))
        split_of = {number: TEST if classes[number] in listed else TRAIN for number in split_of}
    with open_contents(images, "jpg", progress) as contents:
        yield Flowers102(contents, classes, split_of, read_reed_captions(captions))


def _read_mat(path: Path, name: str) -> np.ndarray:
    """A row of numbers, (N), in a file of MATLAB."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MxqvaeError(
            f"{path.name} is a file of MATLAB, read with scipy; install it: pip install 'mxqvae[archives]'"
        ) from None
    try:
        return loadmat(io.BytesIO(path.read_bytes()))[name].ravel()
    # What scipy raises for a damaged file depends on the damage.
    except Exception as error:
        raise MxqvaeError(f"{path}: no numbers {name!r} in it ({error}); put the original there") from None
