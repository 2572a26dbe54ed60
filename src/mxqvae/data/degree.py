"""Builds and reads the Degree sets of Table 1: test pairs of Caption MNIST whose captions lie to a degree.

The paper shows such pairs and publishes none; this is our reconstruction. Degree d of n: the image stays, d
of its n slots are said as they are, and in each other one the caption names another digit and another colour.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mxqvae.config import configuration, from_json, to_json
from mxqvae.data.caption_grammar import COLOURS, KINDS, Slot, kind_of, parse_caption, replace_slots
from mxqvae.data.caption_mnist import ROW_GROUP_SIZE, Manifest
from mxqvae.data.draws import Draws, draws_by_number
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.data.pairs import PairDataset
from mxqvae.data.shard_files import data_files, find_shards
from mxqvae.data.split_file import PAIR_SCHEMA, SplitCount, SplitManifest, encode_image, open_split, pair_row
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import check_sources_stay, new_output_folder
from mxqvae.progress import Advance, NoProgress, Progress

VERSION = 1
"""Raised whenever a seed would give other captions than before."""
DEGREE_KINDS = KINDS[1:]
"""The kinds that get Degree sets: Quad1 to Quad4."""
SOURCE_SPLIT = "test"

_REMEDY = "build them with `mxqvae data degree`, of photos `data colour-degree`"

DEGREE_STREAM = 2
"""Begins the name of every stream here; those of Caption MNIST begin with 0 or 1, the number of its split."""
DRAWS_PER_PAIR = 16
"""A Quad4 caption of degree 0 uses 12: 4 to choose slots, then 2 for each. The rest is never drawn."""

_SCHEMA = pa.schema(
    [
        *PAIR_SCHEMA,
        pa.field("degree", pa.int64()),
        pa.field("pair", pa.int64()),
        pa.field("original_caption", pa.string()),
        pa.field("edited", pa.list_(pa.string())),
    ],
    metadata=PAIR_SCHEMA.metadata,
)


@configuration
class DegreeManifest:
    """What the Degree sets hold; equal manifests mean equal sets."""

    name: str = "caption-mnist-degree"
    """Which data set."""
    version: int = VERSION
    """Version of the definition of an edit."""
    seed: int
    """Seed of every draw."""
    source: Manifest
    """The Caption MNIST that the pairs come from, its test split alone."""
    splits: dict[str, SplitManifest]
    """By name, see `split_name`."""


class SourcePair(NamedTuple):
    """A test pair before its caption is edited."""

    number: int
    """Its row in the test split, from 0."""
    image: np.ndarray
    """(H, W, 3) uint8."""
    png: dict[str, Any]
    """The same, see `encode_image`."""
    caption: str
    """What it says of the image."""
    slots: tuple[Slot, ...]
    """Ground truth, in the order of the caption."""


def degrees_of(kind: str) -> range:
    """The degrees of a kind in the order of the paper's table: as many as it has slots, down to 0."""
    return range(KINDS.index(kind), -1, -1)


def split_name(kind: str, degree: int) -> str:
    """The name of a Degree set's split, such as "quad4_degree3"."""
    return f"{kind.lower()}_degree{degree}"


def kinds_in(folder: Path) -> list[str]:
    """The kinds of which a folder has Degree sets.

    Raises:
        MxqvaeError: The folder is missing or holds another data set.
    """
    splits = find_shards(folder)
    kinds = [kind for kind in DEGREE_KINDS if split_name(kind, 0) in splits]
    if not kinds:
        raise MxqvaeError(f"{folder}: no Degree sets in it; {_REMEDY}")
    return kinds


def read_degree_set(folder: Path, kind: str, degree: int) -> PairDataset:
    """Read one split of a folder of `build_degree_sets`; the slots are those that the edited captions say.

    Raises:
        MxqvaeError: As `PairDataset.from_parquet`, or the folder holds another data set.
    """
    if not any((folder / "data").glob("*_degree*.parquet")):
        raise MxqvaeError(f"{folder}: no Degree sets in it; {_REMEDY}")
    return PairDataset.from_parquet(folder, split_name(kind, degree))


def build_degree_sets(
    source: Path,
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DegreeManifest:
    """Build the Degree sets of Quad1 to Quad4 into the folder `out`, which appears whole or not at all.

    For each kind and degree there is a split with one row for every test pair of the kind, in their order.
    It has the columns of Caption MNIST, `caption` and `slots` as edited, and besides `degree`, `pair` (row in
    the test split), `original_caption` and `edited` (positions whose slots are replaced). Open it with
    `read_degree_set`, or the folder with `datasets.load_dataset(str(out))`.

    Args:
        source: Folder of `build_caption_mnist`; only its test split is read.
        seed: Seed of every draw, 0 or more.
        overwrite: Replace what `out` holds, once the new sets are complete.

    Raises:
        MxqvaeError: The source is missing, damaged, without slots, or lacks a kind; `out` holds the source;
            or `out` has content and `overwrite` is false.
    """
    progress = progress or NoProgress()
    check_sources_stay(out, source)
    with new_output_folder(out, overwrite=overwrite) as folder:
        pairs, source_manifest = _read_source(source)
        num_rows = sum(len(pairs[kind]) * len(degrees_of(kind)) for kind in DEGREE_KINDS)
        splits = {}
        with progress.task("build Degree sets", total=num_rows, unit="pairs") as advance:
            for kind in DEGREE_KINDS:
                for degree in degrees_of(kind):
                    built = _write_split(folder, pairs[kind], kind, degree, seed, advance)
                    splits[split_name(kind, degree)] = built
        manifest = DegreeManifest(seed=seed, source=source_manifest, splits=splits)
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(manifest), encoding="utf-8")
    return manifest


def edit_slots(slots: Sequence[Slot], degree: int, draws: Draws) -> tuple[Slot, ...]:
    """Replace digit and colour in all but `degree` of the slots; which, and by what, is drawn uniformly.

    Args:
        degree: Slots that stay, from 0 to all.
        draws: At least three for each slot.
    """
    edited = draws.distinct(range(len(slots)), len(slots) - degree)
    return tuple(_edit_slot(slot, draws) if i in edited else slot for i, slot in enumerate(slots))


def _edit_slot(slot: Slot, draws: Draws) -> Slot:
    digit = draws.one_of([digit for digit in range(10) if digit != slot.digit])
    colour = draws.one_of([colour for colour in COLOURS if colour != slot.colour])
    return Slot(slot.position, digit, colour)


def _write_split(
    folder: Path, pairs: Sequence[SourcePair], kind: str, degree: int, seed: int, advance: Advance
) -> SplitManifest:
    # A pair's draws go by its row, so that they are the same whatever other pairs there are.
    draws = draws_by_number(
        seed, (DEGREE_STREAM, degree), first=0, num=pairs[-1].number + 1, num_words=DRAWS_PER_PAIR
    )
    with open_split(folder, split_name(kind, degree), schema=_SCHEMA, kinds=(kind,)) as writer:
        for first in range(0, len(pairs), ROW_GROUP_SIZE):
            block = pairs[first : first + ROW_GROUP_SIZE]
            images = np.stack([pair.image for pair in block])
            writer.write(images, [_row(pair, degree, draws[pair.number]) for pair in block])
            advance(len(block))
    return writer.manifest()


def _row(pair: SourcePair, degree: int, draws: Draws) -> dict[str, Any]:
    slots = edit_slots(pair.slots, degree, draws)
    return pair_row(pair.png, replace_slots(pair.caption, slots), slots) | {
        "degree": degree,
        "pair": pair.number,
        "original_caption": pair.caption,
        "edited": [new.position for new, old in zip(slots, pair.slots, strict=True) if new != old],
    }


def _read_source(folder: Path) -> tuple[dict[str, list[SourcePair]], Manifest]:
    """The test pairs of each kind, and the manifest of the test split."""
    pairs = PairDataset.from_parquet(folder, SOURCE_SPLIT)
    if pairs.slots is None:
        raise MxqvaeError(
            f"data set {folder}: not Caption MNIST, no column slots; for photos, `mxqvae data colour-degree`"
        )
    by_kind: dict[str, list[SourcePair]] = {kind: [] for kind in DEGREE_KINDS}
    images = pairs.images.numpy()
    for number, (image, caption, slots) in enumerate(zip(images, pairs.captions, pairs.slots, strict=True)):
        if parse_caption(caption) != slots:
            raise MxqvaeError(
                f"data set {folder}: pair {number} of the {SOURCE_SPLIT} split does not have the slots that "
                f"its caption says, {caption!r}; build it again"
            )
        if (kind := kind_of(slots)) in by_kind:
            by_kind[kind].append(SourcePair(number, image, encode_image(image), caption, slots))
    missing = [kind for kind, pairs_of_kind in by_kind.items() if not pairs_of_kind]
    if missing:
        raise MxqvaeError(
            f"data set {folder}: no pair of kind {', '.join(missing)} in its {SOURCE_SPLIT} split; build a "
            "larger one"
        )
    return by_kind, _read_manifest(folder, pairs)


def _read_manifest(folder: Path, pairs: PairDataset) -> Manifest:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise MxqvaeError(f"{path} is missing; build the data set again")
    manifest = from_json(Manifest, path.read_bytes(), str(path))
    count = SplitCount()
    count.add(pairs.images.numpy(), pairs.captions, [kind_of(slots) for slots in pairs.slots or []])
    if manifest.splits.get(SOURCE_SPLIT) != count.manifest():
        raise MxqvaeError(f"{path}: the {SOURCE_SPLIT} split is not as it says; build the data set again")
    return Manifest(
        version=manifest.version,
        seed=manifest.seed,
        splits={SOURCE_SPLIT: manifest.splits[SOURCE_SPLIT]},
        mnist_sha256=manifest.mnist_sha256,
    )


def _card(manifest: DegreeManifest) -> str:
    kinds = manifest.source.splits[SOURCE_SPLIT].kinds
    counts = ", ".join(f"{kinds[kind]:,} pairs of {kind}" for kind in DEGREE_KINDS)
    return f"""\
---
license: cc-by-sa-3.0
language: [en]
configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# Caption MNIST, Degree sets

The test pairs of Caption MNIST with captions that are true of their image to a degree. Degree d of n: d of
the n slots are said as they are; in each other slot the caption names another digit *and* another colour.
Image, positions, order and wording stay. Every pair has one row in the split of each degree of its kind, such
as `quad4_degree4` (untouched) down to `quad4_degree0` (nothing true but the positions): {counts}.
Which slots are edited and what they become is drawn uniformly, and anew for each degree.

They tell whom a model believes that is given both: encode image and edited caption together, decode the
caption, and count the digits and colours that it repeats. One that reads the image alone repeats d of n.

| column | content |
|---|---|
| `image` | PNG, RGB, of the test pair |
| `caption` | as edited |
| `kind` | Quad1 to Quad4 |
| `slots` | what `caption` says: position, digit and colour, in its order |
| `degree` | slots that are true of the image |
| `pair` | row in the test split of Caption MNIST, from 0 |
| `original_caption` | what is true of the image |
| `edited` | positions of the slots that are not |

Built by mxqvae from seed {manifest.seed} (definition {manifest.version}) and Caption MNIST of seed \
{manifest.source.seed} (definition {manifest.source.version}).
The same seeds and definitions give the same pixels and captions on every machine; `manifest.json` holds
counts and SHA-256.

Such sets are shown in "Unconditional Image-Text Pair Generation with Multimodal Cross Quantized VAE" (arXiv
2204.07537) and were not published; this is a reconstruction. The digits are MNIST, by Yann LeCun, Corinna
Cortes and Christopher J. C. Burges, CC BY-SA 3.0, and so is this data set.
"""
