"""Images and text files of the same name; every line of a text is a caption.

`1.txt` or `1.png.txt` speaks of the `1.png` beside it. The halves may also lie in two
folders of one place that hold no pairs: `images/1.png` and `captions/1.txt`, or `train/images/1.png` and
`train/captions/1.txt`.
"""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mxqvae.data.captioned_images.captions import captions_in_text
from mxqvae.data.captioned_images.image_files import is_image_name, walk_files
from mxqvae.data.captioned_images.source import FileRange, SourcePair, printable
from mxqvae.data.captioned_images.splitting import first_folder, splits_of_names

NOT_CAPTIONS = ("readme", "license", "licence", "copying", "notice", "credits", "attribution")
"""Text files that accompany a folder, and speak of no image."""


class _Halves(NamedTuple):
    """Files of one stem in one folder, by their names below the source's folder."""

    images: list[str]
    texts: list[str]
    """Those that speak of all the images."""
    texts_of: dict[str, list[str]]
    """Those that speak of one image, by its name: "1.png.txt" of "1.png" and not of "1.jpg"."""


class TextFiles:
    """A folder, read with all folders in it."""

    layout = "images with text files beside them"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self) -> int:
        return sum(is_image_name(path.name) for path in walk_files(self._folder))

    def first_pair(self, outside: Container[str] = ()) -> str | None:
        """The first image that a text speaks of, not below folders of the names `outside`."""
        by_stem = {stem: half for stem, half in self._by_stem().items() if first_folder(stem) not in outside}
        met = _met_elsewhere(by_stem)
        for stem, halves in by_stem.items():
            if halves.images and (halves.texts or halves.texts_of or stem in met):
                return halves.images[0]
        return None

    def __iter__(self) -> Iterator[SourcePair]:
        by_stem = self._by_stem()
        text_of = _met_elsewhere(by_stem)
        taken = set(text_of.values())
        published = splits_of_names({first_folder(stem) for stem, halves in by_stem.items() if halves.images})
        for stem, (images, texts, texts_of) in by_stem.items():
            split = published.get(first_folder(stem))
            if stem in text_of:
                texts = by_stem[text_of[stem]].texts
            captions = self._captions(texts)
            for image in images:
                place = FileRange(str(self._folder / image))
                own = self._captions(texts_of.get(image, []))
                yield SourcePair(printable(image), place, captions + own, split=split)
            if not images and stem not in taken:
                yield SourcePair(printable(texts[0]), None, captions, split=split)

    def _by_stem(self) -> dict[str, _Halves]:
        # Files of one stem need not follow each other: "a.jpg", "a-b.jpg", "a.txt" sort otherwise.
        by_stem: dict[str, _Halves] = {}
        for path in walk_files(self._folder):
            name = path.relative_to(self._folder).as_posix()
            stem = name.removesuffix(path.suffix)
            if is_image_name(name):
                by_stem.setdefault(_composed(stem), _Halves([], [], {})).images.append(name)
            elif path.suffix.lower() == ".txt" and path.stem.lower() not in NOT_CAPTIONS:
                image = stem if is_image_name(stem) else ""  # of "1.png.txt"
                stem = stem.removesuffix(Path(image).suffix)
                halves = by_stem.setdefault(_composed(stem), _Halves([], [], {}))
                # "1.png" comes before "1.png.txt".
                of = next((name for name in halves.images if _composed(name) == _composed(image)), None)
                texts = halves.texts if of is None else halves.texts_of.setdefault(of, [])
                texts.append(name)
        return by_stem

    def _captions(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(
            caption for text in texts for caption in captions_in_text((self._folder / text).read_bytes())
        )


def _composed(name: str) -> str:
    """One spelling of a name that macOS writes in another, so that its halves meet."""
    return unicodedata.normalize("NFC", name)


def _met_elsewhere(by_stem: dict[str, _Halves]) -> dict[str, str]:
    """By the stem of images, the stem of a text that speaks of them alone.

    Not those in a folder of pairs: what stands alone there has lost its other half.
    """
    of_pairs = {
        posixpath.dirname(stem)
        for stem, halves in by_stem.items()
        if halves.images and (halves.texts or halves.texts_of)
    }
    alone = {stem: halves for stem, halves in by_stem.items() if posixpath.dirname(stem) not in of_pairs}
    images_at = _places(stem for stem, halves in alone.items() if halves.images)
    texts_at = _places(stem for stem, halves in alone.items() if halves.texts)
    met = {(images_at[place], texts_at[place]) for place in images_at.keys() & texts_at.keys()}
    num_met = Counter(stem for pair in met for stem in pair)
    return {image: text for image, text in met if num_met[image] == num_met[text] == 1}


def _places(stems: Iterable[str]) -> dict[str, str]:
    """The stem at each place, such as "train/1" of "train/images/1": one folder, or none, is left out.

    A place of several stems is left out.
    """
    stem_at: dict[str, str | None] = {}
    for stem in stems:
        parts = stem.split("/")
        for place in {stem, *("/".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts) - 1))}:
            stem_at[place] = None if place in stem_at else stem
    return {place: stem for place, stem in stem_at.items() if stem is not None}
