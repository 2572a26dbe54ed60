"""Builds Caption MNIST: coloured digits in the cells of an image, and a sentence that says what is where.

A pair is a function of seed, split and its number alone: the same seed gives the same data set on every
machine. How it is made (our decisions, where the paper is silent) stands at `draw_pairs` and `render`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mxqvae.config import configuration, to_json
from mxqvae.data.caption_grammar import (
    CENTRE,
    COLOURS,
    KINDS,
    POSITION_WORDS,
    QUADRANT_FORMS,
    QUADRANTS,
    Clause,
    ClauseForm,
    Slot,
    compose_caption,
)
from mxqvae.data.draws import Draws, draws_by_number
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.data.mnist import DIGIT_SIZE, Mnist, MnistDigits, file_hashes
from mxqvae.data.shard_files import data_files
from mxqvae.data.split_file import SplitManifest, encode_image, open_split, pair_row
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import new_output_folder
from mxqvae.progress import Advance, NoProgress, Progress

VERSION = 1
"""Raised whenever a seed would give other pairs than before."""
IMAGE_SIZE = 64
"""Height and width of an image in pixels; a quadrant cell has half of it."""
SPLITS = ("train", "test")

KIND_STREAM, PAIR_STREAM = 0, 1
DRAWS_PER_PAIR = 32
"""A Quad4 pair uses 24: 4 cells, then 5 for each slot. The rest is never drawn."""
ROW_GROUP_SIZE = 1000
"""Pairs that are drawn, rendered and written at a time."""


@configuration
class CaptionMnistConfig:
    """What to build."""

    num_train: int = 60_000
    """Pairs of MNIST's training digits."""
    num_test: int = 10_000
    """Pairs of MNIST's test digits."""
    seed: int = 0
    """Seed of every draw, 0 or more."""

    def __post_init__(self) -> None:
        for name, minimum in (("num_train", 1), ("num_test", 1), ("seed", 0)):
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}")


@configuration
class Manifest:
    """What a data set holds; equal manifests mean equal data sets."""

    name: str = "caption-mnist"
    """Which data set."""
    version: int = VERSION
    """Version of the definition of a pair."""
    seed: int
    """Seed of every draw."""
    splits: dict[str, SplitManifest]
    """By name."""
    mnist_sha256: dict[str, str]
    """Of the digits used, as uncompressed IDX files by name."""


class DrawnPair(NamedTuple):
    """A pair before it is rendered."""

    clauses: tuple[Clause, ...]
    """In caption order."""
    digit_indices: tuple[int, ...]
    """For each clause, which image of the MNIST split shows its digit."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Ground truth, in caption order."""
        return tuple(clause.slot for clause in self.clauses)


def build_caption_mnist(
    config: CaptionMnistConfig,
    digits: Mnist,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Build the data set into the folder `out`, which appears whole or not at all.

    The folder holds `data/{split}-00000-of-00001.parquet`, `manifest.json` and a data set card. Open it with
    `PairDataset.from_parquet(out, "train")` or with `datasets.load_dataset(str(out))`.

    Args:
        overwrite: Replace what `out` holds, once the new data set is complete.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false; or `digits` lacks one of 0 to 9.
    """
    progress = progress or NoProgress()
    with new_output_folder(out, overwrite=overwrite) as folder:
        splits = {}
        for split, split_digits, num in (
            ("train", digits.train, config.num_train),
            ("test", digits.test, config.num_test),
        ):
            with progress.task(f"build {split} pairs", total=num, unit="pairs") as advance:
                splits[split] = _write_split(folder, split_digits, split, config.seed, num, advance)
        manifest = Manifest(seed=config.seed, splits=splits, mnist_sha256=file_hashes(digits))
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(manifest), encoding="utf-8")
    return manifest


def example_captions(num: int) -> list[str]:
    """The captions of `num` pairs, for whoever needs the language and no digits."""
    return [compose_caption(pair.clauses) for pair in draw_pairs(np.arange(10), "train", 0, first=0, num=num)]


def draw_pairs(labels: np.ndarray, split: str, seed: int, *, first: int, num: int) -> list[DrawnPair]:
    """Draw the pairs number `first` to `first + num - 1` of a split.

    Every five pairs, from number 0 on, are one of each kind in random order, so that the shares are equal. A
    pair gets an ordered set of distinct cells; each cell a digit, an image of that digit, a colour, a clause
    form and a synonym of its position. All are uniform and independent.

    Args:
        labels: Digits of the MNIST split, (N,) uint8.
        split: One of `SPLITS`; each has its own random streams.

    Raises:
        MxqvaeError: A digit has no image.
    """
    indices_of_digit = [np.flatnonzero(labels == digit).tolist() for digit in range(10)]
    missing = [str(digit) for digit, indices in enumerate(indices_of_digit) if not indices]
    if missing:
        raise MxqvaeError(f"MNIST {split} split: no digit {', '.join(missing)}; use the original files")
    stream = (SPLITS.index(split), PAIR_STREAM)
    draws_of_pair = draws_by_number(seed, stream, first=first, num=num, num_words=DRAWS_PER_PAIR)
    kinds = _draw_kinds(split, seed, first, num)
    return [
        _draw_pair(kind, draws, indices_of_digit) for kind, draws in zip(kinds, draws_of_pair, strict=True)
    ]


def render(pairs: list[DrawnPair], digit_images: np.ndarray) -> np.ndarray:
    """Draw each slot's digit in the middle of its cell, intensity times colour, on black.

    Args:
        pairs: B pairs.
        digit_images: Images of the MNIST split, (N, 28, 28) uint8.

    Returns:
        Images, (B, 64, 64, 3) uint8.
    """
    images = np.zeros((len(pairs), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for image, pair in zip(images, pairs, strict=True):
        for slot, index in zip(pair.slots, pair.digit_indices, strict=True):
            top, left = digit_corner(slot.position)
            # The parts of a colour are 0 or 255, so that "and" is the exact product.
            coloured = digit_images[index, :, :, None] & np.array(COLOURS[slot.colour], np.uint8)
            image[top : top + DIGIT_SIZE, left : left + DIGIT_SIZE] = coloured
    return images


def digit_corner(position: str) -> tuple[int, int]:
    """Find the upper left pixel, (row, column), of the digit at a slot's position."""
    if position == CENTRE:
        return (IMAGE_SIZE - DIGIT_SIZE) // 2, (IMAGE_SIZE - DIGIT_SIZE) // 2
    row, column = divmod(QUADRANTS.index(position), 2)
    cell_size = IMAGE_SIZE // 2
    margin = (cell_size - DIGIT_SIZE) // 2
    return row * cell_size + margin, column * cell_size + margin


def _draw_kinds(split: str, seed: int, first: int, num: int) -> list[str]:
    size = len(KINDS)
    first_block, last_block = first // size, (first + num - 1) // size
    draws_of_block = draws_by_number(
        seed,
        (SPLITS.index(split), KIND_STREAM),
        first=first_block,
        num=last_block - first_block + 1,
        num_words=size,
    )
    kinds = [kind for draws in draws_of_block for kind in draws.distinct(KINDS, size)]
    return kinds[first - first_block * size :][:num]


def _draw_pair(kind: str, draws: Draws, indices_of_digit: list[list[int]]) -> DrawnPair:
    positions = [CENTRE] if kind == "Single" else draws.distinct(QUADRANTS, KINDS.index(kind))
    clauses, digit_indices = [], []
    for position in positions:
        digit = draws.below(10)
        digit_indices.append(draws.one_of(indices_of_digit[digit]))
        slot = Slot(position, digit, draws.one_of(list(COLOURS)))
        if kind == "Single":
            clauses.append(Clause(slot, ClauseForm.SINGLE, ""))
        else:
            form, words = draws.one_of(QUADRANT_FORMS), draws.one_of(POSITION_WORDS[position])
            clauses.append(Clause(slot, form, words))
    return DrawnPair(tuple(clauses), tuple(digit_indices))


def _write_split(
    folder: Path, digits: MnistDigits, split: str, seed: int, num_pairs: int, advance: Advance
) -> SplitManifest:
    with open_split(folder, split) as writer:
        for first in range(0, num_pairs, ROW_GROUP_SIZE):
            num = min(ROW_GROUP_SIZE, num_pairs - first)
            pairs = draw_pairs(digits.labels, split, seed, first=first, num=num)
            images = render(pairs, digits.images)
            rows = [
                pair_row(encode_image(image), compose_caption(pair.clauses), pair.slots)
                for pair, image in zip(pairs, images, strict=True)
            ]
            writer.write(images, rows)
            advance(num)
    return writer.manifest()


def _card(manifest: Manifest) -> str:
    counts = " and ".join(f"{split.num_pairs:,} {name}" for name, split in manifest.splits.items())
    return f"""\
---
license: cc-by-sa-3.0
language: [en]
configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# Caption MNIST

Coloured MNIST digits on black, {IMAGE_SIZE} x {IMAGE_SIZE} pixels, and a sentence that says which digit of
which colour is where. {counts} pairs, built by mxqvae from seed {manifest.seed} (definition
{manifest.version}). The same seed and definition give the same pixels and captions on every machine;
`manifest.json` holds counts and SHA-256.

| column | content |
|---|---|
| `image` | PNG, RGB |
| `caption` | such as "The green 0 is on the upper right, and the top left 8 is red." |
| `kind` | Single (one digit, centred), or Quad1 to Quad4 (so many quadrants hold a digit); equal shares |
| `slots` | ground truth: position, digit and colour of each digit, in the order of the caption |

Train pairs show MNIST's training digits only, test pairs its test digits only.

A data set of this name is described in "Unconditional Image-Text Pair Generation with Multimodal Cross
Quantized VAE" (arXiv 2204.07537) and was not published; this is a reconstruction. The digits are MNIST, by
Yann LeCun, Corinna Cortes and Christopher J. C. Burges, CC BY-SA 3.0, and so is this data set.
"""
