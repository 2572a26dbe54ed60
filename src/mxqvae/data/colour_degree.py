"""Builds the Degree sets of photos for Table 1: test pairs whose captions lie about colours to a degree.

The paper shows such pairs of Flower-102 and publishes none; this is our reconstruction. QuadN are the
captions with exactly N colour words (`colour_words`). Degree d of N: the image stays, d of the words are said
as they are, and each other one names another colour. `data.degree` does the same to the digits and colours of
Caption MNIST, and reads both.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.config import configuration, to_json
from mxqvae.data.caption_mnist import ROW_GROUP_SIZE
from mxqvae.data.colour_words import ColourWord, colour_of, find_colour_words, replace_colour_words
from mxqvae.data.degree import DEGREE_KINDS, SOURCE_SPLIT, degrees_of, split_name
from mxqvae.data.draws import Draws, draws_by_number
from mxqvae.data.manifest_file import MANIFEST_FILE, read_manifest
from mxqvae.data.pairs import PairDataset, columns_of_use
from mxqvae.data.shard_files import data_files, find_shards, unreadable
from mxqvae.data.split_file import PAIR_SCHEMA, SplitManifest, encode_image, open_split
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import check_sources_stay, new_output_folder
from mxqvae.progress import Advance, NoProgress, Progress

VERSION = 1
"""Raised whenever a seed would give other captions than before."""
COLOUR_DEGREE_STREAM = 5
"""Begins the name of every stream here; 0 to 4 belong to Caption MNIST and what is made of it."""
DRAWS_PER_PAIR = 8
"""A caption of Quad4 at degree 0 uses 8: 4 to choose words, then 1 for each."""
SMALLEST_CHOICE = 2
"""Colours that the training captions have to name: one is there, another takes its place."""

_IMAGE = PAIR_SCHEMA.field("image")
_SCHEMA = pa.schema(
    [
        _IMAGE,
        pa.field("caption", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("degree", pa.int64()),
        pa.field("pair", pa.int64()),
        pa.field("original_caption", pa.string()),
        pa.field("edited", pa.list_(pa.int64())),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)


@configuration
class ColourDegreeManifest:
    """What the Degree sets hold; equal manifests mean equal sets."""

    name: str = "colour-degree"
    """Which data set."""
    version: int = VERSION
    """Version of the definition of an edit."""
    seed: int
    """Seed of every draw."""
    colours: list[str]
    """What edited words say: the colours of the training captions, as these spell them most often."""
    source: dict[str, Any] | None
    """Manifest of the data set that the pairs come from; None where it has none."""
    splits: dict[str, SplitManifest]
    """By name, see `split_name`."""


class _Pair(NamedTuple):
    """A test pair before its caption is edited."""

    number: int  # its place among the test pairs, from 0
    caption: str
    words: list[ColourWord]


def build_colour_degree_sets(
    source: Path,
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ColourDegreeManifest:
    """Build the Degree sets of Quad1 to Quad4 into the folder `out`, which appears whole or not at all.

    For each kind that the test captions have, and each degree, there is a split with one row for every test
    pair of the kind, in their order. Its columns are `image`, `caption` (as edited), `kind`, `degree`, `pair`
    (place among the test pairs, from 0), `original_caption` and `edited` (which of the colour words are
    replaced, from 0). Open it with `degree.read_degree_set`.

    Args:
        source: Folder of a data set of captioned images: the captions of its split train say which colours
            there are, its split test has the pairs.
        seed: Seed of every draw, 0 or more.
        overwrite: Replace what `out` holds, once the new sets are complete.

    Raises:
        MxqvaeError: The source is missing, damaged, or names too few colours; `out` holds the source; or
            `out` has content and `overwrite` is false.
    """
    progress = progress or NoProgress()
    check_sources_stay(out, source)
    with new_output_folder(out, overwrite=overwrite) as folder:
        colours = _training_colours(source)
        pairs = PairDataset.from_parquet(source, SOURCE_SPLIT).whole()
        by_kind = _by_kind(pairs.captions)
        if not by_kind:
            raise MxqvaeError(
                f"data set {source}: no caption of its {SOURCE_SPLIT} split has 1 to {len(DEGREE_KINDS)} "
                "colour words; take captions that name colours"
            )
        num_rows = sum(len(some) * len(degrees_of(kind)) for kind, some in by_kind.items())
        splits = {}
        with progress.task("build Degree sets", total=num_rows, unit="pairs") as advance:
            for kind, some in by_kind.items():
                for degree in degrees_of(kind):
                    name = split_name(kind, degree)
                    splits[name] = _write_split(folder, pairs, some, kind, degree, colours, seed, advance)
        manifest = ColourDegreeManifest(
            seed=seed, colours=colours, source=read_manifest(source), splits=splits
        )
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(manifest), encoding="utf-8")
    return manifest


def edit_colours(
    words: Sequence[ColourWord], degree: int, colours: Sequence[str], draws: Draws
) -> dict[int, str]:
    """Replace all but `degree` of the words' colours; which, and by what, is drawn uniformly.

    Args:
        degree: Words that stay, from 0 to all.
        colours: To choose from, by spelling, at least two.
        draws: At least two for each word.

    Returns:
        What each replaced word, by its number from 0, says instead.
    """
    edited = sorted(draws.distinct(range(len(words)), len(words) - degree))
    return {
        number: draws.one_of([said for said in colours if colour_of(said) != words[number].colour])
        for number in edited
    }


def _training_colours(source: Path) -> list[str]:
    """The colours of the training captions, each as they spell it most often: a model of them can say it."""
    spellings: Counter[str] = Counter()
    for path in find_shards(source, "train")["train"]:
        try:
            with pq.ParquetFile(path) as file:
                (column,) = {"caption", "captions"} & set(columns_of_use(path, file.schema_arrow))
                for cell in file.read([column])[column].to_pylist():
                    for caption in filter(None, [cell] if isinstance(cell, str) else cell or []):
                        found = find_colour_words(caption)
                        spellings.update(caption[word.start : word.end].lower() for word in found)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
    by_colour: dict[str, str] = {}
    for spelling, _ in sorted(spellings.items(), key=lambda item: (-item[1], item[0])):
        by_colour.setdefault(colour_of(spelling), spelling)
    if len(by_colour) < SMALLEST_CHOICE:
        raise MxqvaeError(
            f"data set {source}: its training captions name {len(by_colour)} colours, at least "
            f"{SMALLEST_CHOICE} are needed; take captions that name colours"
        )
    return sorted(by_colour.values())


def _by_kind(captions: Sequence[str]) -> dict[str, list[_Pair]]:
    """The pairs of each kind that there is, in the order of `DEGREE_KINDS`."""
    found = [_Pair(number, caption, find_colour_words(caption)) for number, caption in enumerate(captions)]
    by_kind = {
        kind: [pair for pair in found if len(pair.words) == num]
        for num, kind in enumerate(DEGREE_KINDS, start=1)
    }
    return {kind: pairs for kind, pairs in by_kind.items() if pairs}


def _write_split(
    folder: Path,
    dataset: PairDataset,
    pairs: Sequence[_Pair],
    kind: str,
    degree: int,
    colours: Sequence[str],
    seed: int,
    advance: Advance,
) -> SplitManifest:
    # A pair's draws go by its number, so that they are the same whatever other pairs there are.
    stream = (COLOUR_DEGREE_STREAM, degree)
    draws = draws_by_number(seed, stream, first=0, num=pairs[-1].number + 1, num_words=DRAWS_PER_PAIR)
    with open_split(folder, split_name(kind, degree), schema=_SCHEMA, kinds=(kind,)) as writer:
        for first in range(0, len(pairs), ROW_GROUP_SIZE):
            block = pairs[first : first + ROW_GROUP_SIZE]
            numbers = dataset.image_numbers[[pair.number for pair in block]]
            images = dataset.images[numbers].numpy()
            rows = []
            for pair, image in zip(block, images, strict=True):
                edits = edit_colours(pair.words, degree, colours, draws[pair.number])
                rows.append(
                    {
                        "image": encode_image(image),
                        "caption": replace_colour_words(pair.caption, pair.words, edits),
                        "kind": kind,
                        "degree": degree,
                        "pair": pair.number,
                        "original_caption": pair.caption,
                        "edited": list(edits),
                    }
                )
            writer.write(np.ascontiguousarray(images), rows)
            advance(len(block))
    return writer.manifest()


def _card(manifest: ColourDegreeManifest) -> str:
    counts = {
        kind: manifest.splits[name].num_pairs
        for kind in DEGREE_KINDS
        if (name := split_name(kind, 0)) in manifest.splits
    }
    return f"""\
---
configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# Degree sets of colour words

Test pairs with captions that are true of their image to a degree. Of a caption with n colour words (QuadN),
d are said as they are at degree d; each other one names another colour. Image and wording stay. Every pair
has one row in the split of each degree of its kind: \
{", ".join(f"{num:,} pairs of {kind}" for kind, num in counts.items())}.
Which words are edited and what they become is drawn uniformly, and anew for each degree, from
{", ".join(manifest.colours)}.

| column | content |
|---|---|
| `image` | PNG, RGB, of the test pair |
| `caption` | as edited |
| `kind` | by the number of its colour words |
| `degree` | colour words that are as they were |
| `pair` | place among the test pairs of the source, from 0 |
| `original_caption` | what is said of the image |
| `edited` | which of its colour words are replaced, from 0 |

Built by mxqvae from seed {manifest.seed} (definition {manifest.version}). The terms are those of the data set
that the pairs come from; `manifest.json` has what it says of itself.
"""
