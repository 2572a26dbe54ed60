"""`mxqvae data flowers102|cub200|coco|emoji`: data sets out of archives as they were published."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mxqvae.cli.arguments import IntOrNone, PathOrNone, at_least
from mxqvae.cli.data_folder import print_report

if TYPE_CHECKING:
    from mxqvae.data.captioned_images.card import CardText
    from mxqvae.data.captioned_images.source import PairSource
    from mxqvae.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Building:
    """How to build, whatever the set."""

    image_size: int = 128
    """Side of the square images in pixels, a multiple of 8."""
    seed: int = 0
    """Seed of the contact sheet, and of the splits where the set has none of its own."""
    max_length: IntOrNone = None
    """Tokens of a caption, best a multiple of 8; without it, what 99.5% of the training captions need."""
    vocab_size: IntOrNone = None
    """Subwords of the tokenizer, at least 260; without it, 260 and one for each word met five times."""
    strict: bool = False
    """Stop on the first problem: an image or caption that is broken, double, to be altered or cut."""
    processes: IntOrNone = None
    """Processes that decode images; without it, one for each core. The result is the same."""
    overwrite: bool = False
    """Replace a folder that has content."""
    json: bool = False
    """Print the manifest as JSON."""

    def check(self, archives: Path | None, out: Path, test_classes: Path | None = None) -> None:
        """Refuse what cannot be done, before anything is fetched or read.

        Raises:
            MxqvaeError: Names the flag, or the folder that would be overwritten.
        """
        at_least(8, image_size=self.image_size)
        at_least(0, seed=self.seed)
        at_least(2, max_length=self.max_length)
        at_least(1, processes=self.processes)

        from mxqvae.output_folder import check_output_folder, check_sources_stay

        check_sources_stay(out, archives, test_classes)
        check_output_folder(out, overwrite=self.overwrite)

        from mxqvae.data.tokenizer import SMALLEST_SUBWORD_VOCABULARY

        at_least(SMALLEST_SUBWORD_VOCABULARY, vocab_size=self.vocab_size)

    @property
    def progress(self) -> "Progress":
        """Where a build says how far it is."""
        from mxqvae.progress import progress_beside

        return progress_beside(json=self.json)


EMOJI_SIZE = 64
"""Side of the drawings in the packages."""

_Building = tyro.conf.OmitArgPrefixes[Building]


def flowers102(
    *,
    out: Path,
    archives: PathOrNone = None,
    test_classes: PathOrNone = None,
    building: _Building = Building(),
) -> None:
    """Build Oxford Flower-102 with Reed et al.'s captions from the archives as published.

    Read are 102flowers.tgz (or jpg/), imagelabels.mat, setid.mat and cvpr2016_flowers.tar.gz (or text_c10/).
    The part `valid` is the test split, all others are for training. Images without captions are kept. For
    research only: the licence note is in the data card.

    Args:
        out: Folder to make.
        archives: Folder with the files; without it, the cache or a download.
        test_classes: Text file with the classes that become the test split, one a line, such as Reed et al.'s
            testclasses.txt.
    """
    building.check(archives, out, test_classes)

    from mxqvae.data.archives.flowers102 import CARD, CARD_OF_UNSEEN_CLASSES, open_flowers102

    source = open_flowers102(archives, test_classes=test_classes, progress=building.progress)
    _build(source, CARD_OF_UNSEEN_CLASSES if test_classes else CARD, out, building)


def cub200(
    *,
    out: Path,
    archives: PathOrNone = None,
    test_classes: PathOrNone = None,
    building: _Building = Building(),
) -> None:
    """Build CUB-200-2011 with Reed et al.'s captions from the archives as published.

    Read are CUB_200_2011.tgz (or CUB_200_2011/) and cvpr2016_cub.tar.gz (or text_c10/). Images are cropped to
    the square around the bird; splits are those of train_test_split.txt. For non-commercial research and
    education only: the licence note is in the data card.

    Args:
        out: Folder to make.
        archives: Folder with the files; without it, the cache or a download of 1.1 GB.
        test_classes: Text file with the species that become the test split, one a line, such as Reed et al.'s
            testclasses.txt.
    """
    building.check(archives, out, test_classes)

    from mxqvae.data.archives.cub200 import CARD, CARD_OF_UNSEEN_CLASSES, open_cub200

    source = open_cub200(archives, test_classes=test_classes, progress=building.progress)
    _build(source, CARD_OF_UNSEEN_CLASSES if test_classes else CARD, out, building)


def coco(*, out: Path, archives: PathOrNone = None, building: _Building = Building()) -> None:
    """Build MS-COCO 2017 captions from the archives as published.

    Read are annotations_trainval2017.zip (or annotations/), train2017.zip (or train2017/) and val2017.zip (or
    val2017/). The part `val2017` is the test split. Every image has a licence of its own: the licence note is
    in the data card.

    Args:
        out: Folder to make.
        archives: Folder with the files; without it, the cache or a download of 20 GB.
    """
    building.check(archives, out)

    from mxqvae.data.archives.coco import CARD, open_coco

    _build(open_coco(archives, progress=building.progress), CARD, out, building)


def emoji(
    *, out: Path, archives: PathOrNone = None, building: _Building = Building(image_size=EMOJI_SIZE)
) -> None:
    """Build 1,911 emoji in two styles, Noto Emoji and Twemoji, with the names that Unicode gives them.

    Read are four packages of npm: emoji-datasource-google, emoji-datasource-twitter, cldr-annotations-full
    and cldr-annotations-derived-full. A tenth of the emoji is the test split. Free licences, which ask for
    credit: it is in the data card.

    Args:
        out: Folder to make.
        archives: Folder with the packages' .tgz files; without it, the cache or a download of 140 MB.
    """
    building.check(archives, out)

    from mxqvae.data.archives.emoji import CARD, open_emoji

    _build(open_emoji(archives, progress=building.progress), CARD, out, building)


def _build(
    source: "AbstractContextManager[PairSource]", card_text: "CardText", out: Path, building: Building
) -> None:
    from mxqvae.config import to_json
    from mxqvae.data.captioned_images.build import build_captioned_images
    from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
    from mxqvae.device import num_cores
    from mxqvae.generation.contact_sheet import contact_sheet

    config = CaptionedImagesConfig(
        image_size=building.image_size,
        seed=building.seed,
        max_length=building.max_length,
        vocab_size=building.vocab_size,
        strict=building.strict,
    )
    with source as pairs:
        manifest = build_captioned_images(
            pairs,
            out,
            config,
            draw_sheet=contact_sheet,
            card_text=card_text,
            num_processes=building.processes or num_cores(),
            overwrite=building.overwrite,
            progress=building.progress,
        )
    if building.json:
        print(to_json(manifest))
    else:
        print_report(manifest, out)
