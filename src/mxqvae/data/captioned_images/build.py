"""Builds a data set from captioned images: squares, splits, a tokenizer, and a report of what was met."""

import heapq
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from mxqvae.config import to_json
from mxqvae.data.captioned_images.card import OWN_PAIRS, CardText, card_of
from mxqvae.data.captioned_images.collection import CollectedPair, PairCollection
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig, Manifest, TokenizerCounts
from mxqvae.data.captioned_images.problems import (
    Problem,
    ProblemCount,
    ProblemKind,
    ProblemLog,
    open_problem_log,
)
from mxqvae.data.captioned_images.reading import read_images
from mxqvae.data.captioned_images.shards import SplitCounts, write_split
from mxqvae.data.captioned_images.source import PairSource
from mxqvae.data.captioned_images.splitting import SPLITS, TRAIN, position
from mxqvae.data.captioned_images.vocabulary import choose_max_length, train_tokenizer
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.data.tokenizer import TOKENIZER_FILE, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import CONTACT_SHEET_NAME, new_output_folder
from mxqvae.progress import NoProgress, Progress

PROBLEMS_FILE = "problems.jsonl"
CARD_FILE = "README.md"

SHEET_PAIRS = 32
"""Pairs on the contact sheet."""
TOKENIZED_AT_ONCE = 1000
"""Captions."""

DrawSheet = Callable[[np.ndarray, Sequence[str]], Image.Image]
"""Draws images, (N, H, W, 3) uint8, with their captions."""


def build_captioned_images(
    source: PairSource,
    out: Path,
    config: CaptionedImagesConfig = CaptionedImagesConfig(),
    *,
    draw_sheet: DrawSheet,
    card_text: CardText = OWN_PAIRS,
    num_processes: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Build a data set into the folder `out`, which appears whole or not at all.

    The folder holds `data/{split}-NNNNN-of-NNNNN.parquet` (columns `image` and `captions`, a row for each
    image), `tokenizer.json`, `manifest.json`, `problems.jsonl`, a contact sheet and a data card. Open it with
    `PairDataset.from_parquet(out, "train")` or with `datasets.load_dataset(str(out))`. The same source, seed
    and version give the same bytes, whatever the number of processes.

    Images pass through in constant memory; about 200 bytes stay for each, and the captions while the
    tokenizer is trained.

    Args:
        source: Of `detection.open_source`, or any other iterable of pairs with a `layout` and a `count`.
        draw_sheet: `mxqvae.contact_sheet`.
        card_text: What is known of the source, for the data card.
        num_processes: Processes that decode, 1 for none but this. A script that asks for more needs
            `if __name__ == "__main__":`.
        overwrite: Replace what `out` holds, once the new data set is complete.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false; the source cannot be read; nothing of it can
            be used, or no training image has a caption; or `config.strict` and there is a problem.
    """
    progress = progress or NoProgress()
    with (
        new_output_folder(out, overwrite=overwrite) as folder,
        open_problem_log(folder / PROBLEMS_FILE, strict=config.strict) as problems,
    ):
        with tempfile.TemporaryFile(dir=folder) as file:
            collection = PairCollection(file, problems)
            _collect(source, collection, problems, config, num_processes, progress)
            splits = [split for split in SPLITS if collection.count(split)]
            tokenizer = _train_tokenizer(collection, splits, config)
            tokenizer_counts = _count_cut(collection, splits, tokenizer, problems)
            sheet = _Sheet(config.seed)
            counts = _write_splits(folder, collection, splits, sheet, progress)
        tokenizer.save(folder / TOKENIZER_FILE)
        has_sheet = sheet.save(folder / CONTACT_SHEET_NAME, draw_sheet)
        manifest = Manifest(
            layout=source.layout,
            config=config,
            published_splits=collection.has_published_splits(),
            splits=counts,
            tokenizer=tokenizer_counts,
            problems=problems.counts(),
        )
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        card = card_of(manifest, card_text, sheet=CONTACT_SHEET_NAME if has_sheet else None)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
    return manifest


def _collect(
    source: PairSource,
    collection: PairCollection,
    problems: ProblemLog,
    config: CaptionedImagesConfig,
    num_processes: int,
    progress: Progress,
) -> None:
    with progress.task("read images", total=source.count(), unit="images") as advance:
        for pair, square in read_images(source, size=config.image_size, num_processes=num_processes):
            collection.add(pair._replace(split=None) if config.new_splits else pair, square)
            advance()
    collection.deal(test_share=config.test_share, seed=config.seed)
    if not collection.count(TRAIN) and any(map(collection.count, SPLITS)):
        raise MxqvaeError(
            f"{source.layout}: the splits that the source names hold no image for training; leave out "
            "--split-column, or draw others at random with --new-splits"
        )
    if not collection.count(TRAIN):
        counts = problems.counts()
        met = ", ".join(_told(kind, counts[kind.key]) for kind in ProblemKind if kind.key in counts)
        nothing = "there is nothing in it: it needs images and captions, such as lines of file_name,caption"
        raise MxqvaeError(f"{source.layout}: nothing can be used; {met or nothing}")
    if not any(pair.png and pair.captions for pair in collection.pairs(TRAIN)):
        raise _no_whole_pair(source.layout, collection)


def _told(kind: ProblemKind, counted: ProblemCount) -> str:
    remedy = kind.remedy.removeprefix("left out").replace(": ", "; ", 1)
    return f"{kind.title} {counted.num:,} times ({counted.examples[0]}{remedy})"


def _no_whole_pair(layout: str, collection: PairCollection) -> MxqvaeError:
    halves = {
        "images without caption": [pair.name for pair in collection.pairs(TRAIN) if pair.png],
        "captions without image": [pair.name for pair in collection.pairs(TRAIN) if not pair.png],
    }
    met = ", ".join(f"{len(names):,} {what} such as {names[0]}" for what, names in halves.items() if names)
    return MxqvaeError(
        f"{layout}: no training image has a caption ({met}); name both files alike (1.jpg and 1.txt), add a "
        "metadata.csv with file_name,caption, or see `mxqvae data folder --help`"
    )


def _train_tokenizer(
    collection: PairCollection, splits: Sequence[str], config: CaptionedImagesConfig
) -> CaptionTokenizer:
    tokenizer = train_tokenizer(
        [caption for _, caption in _captions(collection, [TRAIN])],
        vocab_size=config.vocab_size,
        max_length=config.max_length,
    )
    if not config.strict or config.max_length is not None:
        return tokenizer
    # Nothing may be cut, in no split.
    nums = tokenizer.count_tokens(caption for _, caption in _captions(collection, splits))
    return tokenizer.with_max_length(choose_max_length(nums, uncut_share=1.0))


def _captions(collection: PairCollection, splits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each caption of the splits, after the name of its pair."""
    for split in splits:
        for pair in collection.pairs(split, with_images=False):
            for caption in pair.captions:
                yield pair.name, caption


def _count_cut(
    collection: PairCollection, splits: Sequence[str], tokenizer: CaptionTokenizer, problems: ProblemLog
) -> TokenizerCounts:
    longest = num_cut = 0
    captions = _captions(collection, splits)
    while some := list(islice(captions, TOKENIZED_AT_ONCE)):
        for (name, _), num in zip(
            some, tokenizer.count_tokens([caption for _, caption in some]), strict=True
        ):
            longest = max(longest, num)
            if num > tokenizer.max_length:
                num_cut += 1
                problems.add(Problem(ProblemKind.CUT, name, f"{num} tokens, {tokenizer.max_length} fit"))
    return TokenizerCounts(
        vocab_size=tokenizer.vocab_size,
        max_length=tokenizer.max_length,
        longest_caption=longest,
        num_cut=num_cut,
    )


def _write_splits(
    folder: Path, collection: PairCollection, splits: Sequence[str], sheet: "_Sheet", progress: Progress
) -> dict[str, SplitCounts]:
    counts = {}
    for split in splits:
        num_rows = collection.count(split)
        with progress.task(f"write {split} split", total=num_rows, unit="images") as advance:

            def pairs(split: str = split) -> Iterable[CollectedPair]:
                for pair in collection.pairs(split):
                    if split == TRAIN:
                        sheet.offer(pair)
                    yield pair
                    advance()

            counts[split] = write_split(folder, split, pairs(), num_rows=num_rows)
    return counts


class _Sheet:
    """Some pairs, chosen by the seed as they pass."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._chosen: list[tuple[float, bytes, str]] = []  # a heap, with the last of them first

    def offer(self, pair: CollectedPair) -> None:
        if pair.png is None or not pair.captions:
            return
        place = position(pair.key, self._seed, "sheet")
        if len(self._chosen) == SHEET_PAIRS and -self._chosen[0][0] < place:
            return
        caption = pair.captions[int(position(pair.key, self._seed, "caption") * len(pair.captions))]
        heapq.heappush(self._chosen, (-place, pair.png, caption))
        if len(self._chosen) > SHEET_PAIRS:
            heapq.heappop(self._chosen)

    def save(self, path: Path, draw_sheet: DrawSheet) -> bool:
        """Draw and write the sheet; says whether there was a pair to draw."""
        chosen = sorted(self._chosen, reverse=True)
        if not chosen:
            return False
        images = np.stack([np.asarray(Image.open(io.BytesIO(png))) for _, png, _ in chosen])
        draw_sheet(images, [caption for *_, caption in chosen]).save(path, "PNG")
        return True
