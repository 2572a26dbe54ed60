"""`mxqvae data folder`: a data set out of whatever captioned images there are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import IntOrNone, PathOrNone, TextOrNone, at_least
from mxqvae.errors import MxqvaeError

NUM_FILES_SHOWN = 3

if TYPE_CHECKING:
    from mxqvae.data.captioned_images.manifest import Manifest


def folder(
    path: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")],
    *,
    out: Path,
    image_size: int = 64,
    caption_column: TextOrNone = None,
    image_column: TextOrNone = None,
    group_column: TextOrNone = None,
    split_column: TextOrNone = None,
    new_splits: bool = False,
    images: PathOrNone = None,
    test_share: float = 0.1,
    seed: int = 0,
    max_length: IntOrNone = None,
    vocab_size: IntOrNone = None,
    strict: bool = False,
    processes: IntOrNone = None,
    pairing_note: TextOrNone = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Build a data set from your own captioned images, one or several captions each.

    PATH is a folder with metadata.jsonl or metadata.csv (columns file_name and caption, say) or Kaggle's
    captions.txt, with .txt files of the images' names (a caption a line; beside them, or images/1.jpg and
    captions/1.txt), with WebDataset .tar shards, .tar archives with a metadata.jsonl or .parquet files; one
    such file; a COCO captions .json; or a data set of the hub as user/name or user/name:configuration.
    Images are turned upright, cropped to the square in the middle and resized; a tokenizer is trained on the
    captions. The folder opens with `datasets.load_dataset`. The same input and seed give the same bytes.

    Args:
        path: What the images and captions lie in.
        out: Folder to make, outside of PATH.
        image_size: Side of the square images in pixels, a multiple of 8; at 128 training takes four times as
            long.
        caption_column: Column with a caption or a list of them; by default captions, caption, text and so on.
        image_column: Column with the image or its file name; by default image, file_name, file and so on.
        group_column: Column whose equal values stay in one split, such as the person or the object shown.
        split_column: Column that says train, validation or test for each image; without it, shards
            (train-00000-of-00002.parquet), first folders (train/1.jpg) or splits on Hugging Face say so by
            their names. Validation images are for testing where there are no test images.
        new_splits: Split the images at random, even where the source names splits.
        images: Folder with the images, where a list, parquet or COCO file has them elsewhere than beside it;
            other layouts refuse it.
        test_share: Share of the images that is kept for testing, where the source names no splits. Scores
            need 11 test images with captions (`evaluate similarity`) or 100 (`evaluate retrieval`).
        seed: Seed of the random splits and of the contact sheet.
        max_length: Tokens of a caption, best a multiple of 8; longer ones are cut in training. Without it,
            what 99.5% of the training captions need, or with --strict all captions of every split.
        vocab_size: Subwords that the tokenizer knows, at least 260; without it, 260 and one for each word
            that occurs five times, at most 8,192.
        strict: Stop on the first problem of any kind: what would be left out, altered, turned or cut, and
            images that occur twice.
        processes: Processes that decode images; without it, one for each core. The result is the same.
        pairing_note: A few words for the data card and beside the figures of Table 3, where captions belong
            to something else than their image, such as "captions are of another photo of the species".
        overwrite: Replace a folder that has content.
        json: Print the manifest as JSON.
    """
    at_least(8, image_size=image_size)
    if image_size % 8:
        raise MxqvaeError(f"--image-size must be a multiple of 8, as models take no other, got {image_size}")
    at_least(0, seed=seed)
    at_least(2, max_length=max_length)
    at_least(1, processes=processes)
    if not 0 <= test_share < 1:
        raise MxqvaeError(f"--test-share must be at least 0 and below 1, got {test_share}")
    if new_splits and split_column is not None:
        raise MxqvaeError(f"--split-column {split_column} names splits; leave it or --new-splits out")

    from mxqvae.output_folder import check_output_folder, check_sources_stay

    check_sources_stay(out, path, images)
    if Path(path).is_dir() and out.resolve().is_relative_to(Path(path).resolve()):
        # The next run would read what this one writes.
        raise MxqvaeError(f"--out {out} lies in {path}, which is read whole; choose a folder outside of it")
    check_output_folder(out, overwrite=overwrite)

    from mxqvae.config import to_json
    from mxqvae.data.captioned_images.build import build_captioned_images
    from mxqvae.data.captioned_images.columns import AskedColumns
    from mxqvae.data.captioned_images.detection import open_source
    from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
    from mxqvae.data.tokenizer import SMALLEST_SUBWORD_VOCABULARY
    from mxqvae.device import num_cores
    from mxqvae.generation.contact_sheet import contact_sheet
    from mxqvae.progress import progress_beside

    at_least(SMALLEST_SUBWORD_VOCABULARY, vocab_size=vocab_size)
    config = CaptionedImagesConfig(
        image_size=image_size,
        test_share=test_share,
        seed=seed,
        max_length=max_length,
        vocab_size=vocab_size,
        new_splits=new_splits,
        strict=strict,
        pairing_note=pairing_note,
    )
    manifest = build_captioned_images(
        open_source(path, AskedColumns(image_column, caption_column, group_column, split_column), images),
        out,
        config,
        draw_sheet=contact_sheet,
        num_processes=processes or num_cores(),
        overwrite=overwrite,
        progress=progress_beside(json=json),
    )
    if json:
        print(to_json(manifest))
    else:
        print_report(manifest, out)
        if manifest.published_splits:
            print("Splits are the source's own; --new-splits draws others at random.")


def print_report(manifest: "Manifest", out: Path) -> None:
    """Say what was built and what was met."""
    from mxqvae.data.captioned_images.build import PROBLEMS_FILE
    from mxqvae.output_folder import CONTACT_SHEET_NAME

    for split, counts in manifest.splits.items():
        without = [
            f"{num:,} {what}"
            for num, what in (
                (counts.num_images_without_caption, "images without caption"),
                (counts.num_rows_without_image, "rows of captions without image"),
            )
            if num
        ]
        figures = ", ".join([f"{counts.num_images:,} images, {counts.num_captions:,} captions", *without])
        print(f"{split}: {figures}")
    tokenizer = manifest.tokenizer
    num_captions = sum(counts.num_captions for counts in manifest.splits.values())
    print(
        f"tokenizer: {tokenizer.vocab_size:,} subwords, {tokenizer.max_length} tokens a caption; cut: "
        f"{tokenizer.num_cut:,} of {num_captions:,} (the longest has {tokenizer.longest_caption:,})"
    )
    if manifest.problems:
        _print_problems(manifest, out / PROBLEMS_FILE)
    print(f"Built from {manifest.layout}, seed {manifest.config.seed}: {out}")
    if (out / CONTACT_SHEET_NAME).exists():
        print(f"Some pairs at a glance: {out / CONTACT_SHEET_NAME}")
    print(f"Next: mxqvae train pairs --data {out} --out MODEL")


def _print_problems(manifest: "Manifest", path: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mxqvae.data.captioned_images.problems import ProblemKind

    table = Table(title=f"Problems (all are listed in {path})", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Number", justify="right")
    table.add_column("Problem, what was done, the first files", overflow="fold")
    for kind in ProblemKind:
        if met := manifest.problems.get(kind.key):
            files = "".join(f"\n  {name}" for name in met.examples[:NUM_FILES_SHOWN])
            table.add_row(f"{met.num:,}", Text(f"{kind.title}: {kind.remedy}{files}"))
    Console(highlight=False).print(table)
