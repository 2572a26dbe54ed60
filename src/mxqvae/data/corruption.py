"""Lets a share of the training captions of Caption MNIST lie: to try what finds them, and what they cost.

A corrupted caption names another digit and another colour in one of its slots, as in the Degree sets
(`data.degree`); its image, the other slots and the wording stay. Test pairs are as they were.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mxqvae.config import configuration, to_json
from mxqvae.data.caption_grammar import Slot, parse_caption, replace_slots
from mxqvae.data.degree import edit_slots
from mxqvae.data.draws import draws_by_number
from mxqvae.data.edited_copy import copy_edited
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.data.shard_files import data_files, find_shards, num_rows, unreadable
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import check_sources_stay, new_output_folder

VERSION = 1
"""Raised whenever a seed would corrupt other captions, or in another way, than before."""
SPLIT = "train"
CHOICE_STREAM, EDIT_STREAM = 3, 4
"""Begin the names of the streams here; Caption MNIST and its Degree sets have 0 to 2."""
DRAWS_PER_PAIR = 8
"""An edit uses 3: which slot, its digit, its colour. The rest is never drawn."""
NEW_COLUMNS = frozenset({"corrupted", "original_caption"})


@configuration
class CorruptionManifest:
    """What the data set holds; equal manifests mean equal sets."""

    name: str = "caption-mnist-corrupted"
    """Which data set."""
    version: int = VERSION
    """Version of the definition of a corruption."""
    seed: int
    """Seed of every draw."""
    share: float
    """Share of the training captions asked for."""
    num_corrupted: int
    """Training captions that lie."""
    splits: dict[str, int]
    """Pairs by split."""
    source: dict[str, Any]
    """Manifest of the data set that the pairs come from."""


def corrupt_captions(
    source: Path, out: Path, *, share: float, seed: int = 0, overwrite: bool = False
) -> CorruptionManifest:
    """Copy a data set into the folder `out`, which appears whole or not at all, with captions that lie.

    It has the columns of the source and besides `corrupted` and `original_caption`. A caption that lies at
    one share does so at every larger one, in the same way.

    Args:
        source: Folder of `build_caption_mnist`.
        share: Of the training captions, rounded to whole ones; from 0 to 1.
        seed: Seed of every draw, 0 or more.
        overwrite: Replace what `out` holds, once the new set is complete.

    Raises:
        MxqvaeError: The source is missing, damaged, without slots or without training pairs, or corrupted
            already; `out` holds the source, or has content and `overwrite` is false.
    """
    check_sources_stay(out, source)
    shards = find_shards(source).get(SPLIT)
    if not shards:
        raise MxqvaeError(
            f"data set {source}: no split {SPLIT!r}, whose captions would be corrupted; build one"
        )
    starts, total = {}, 0
    for path in shards:
        starts[path.relative_to(source)] = total
        total += num_rows(path)
    lying = _choose(seed, total, round(share * total))

    def edit(shard: Path, first: int, rows: pa.Table) -> pa.Table:
        if "slots" not in rows.column_names or "caption" not in rows.column_names:
            raise MxqvaeError(f"{source / shard}: no column slots; take a set of `mxqvae data caption-mnist`")
        if not NEW_COLUMNS.isdisjoint(rows.column_names):
            raise MxqvaeError(
                f"data set {source}: its captions lie already; take the set that it was made of"
            )
        start = starts.get(shard)
        chosen = np.zeros(len(rows), bool)
        if start is not None:
            chosen = lying[start + first : start + first + len(rows)]
        return _edit_rows(rows, chosen, seed, (start or 0) + first, source / shard)

    with new_output_folder(out, overwrite=overwrite) as folder:
        splits = copy_edited(source, folder, edit)
        manifest = CorruptionManifest(
            seed=seed,
            share=share,
            num_corrupted=int(lying.sum()),
            splits=splits,
            source=_read_manifest(source),
        )
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(manifest), encoding="utf-8")
    return manifest


def leave_out_lies(source: Path, out: Path, *, overwrite: bool = False) -> int:
    """Copy a set of `corrupt_captions` into the folder `out` without the pairs whose captions lie.

    Returns:
        The training pairs that are left.

    Raises:
        MxqvaeError: As `corrupt_captions`, or a source whose captions are not marked.
    """
    check_sources_stay(out, source)

    def edit(shard: Path, first: int, rows: pa.Table) -> pa.Table:
        if "corrupted" not in rows.column_names:
            raise MxqvaeError(f"{source / shard}: no column corrupted; take a set of `mxqvae data corrupt`")
        return rows.filter(pc.call_function("invert", [rows["corrupted"]]))

    with new_output_folder(out, overwrite=overwrite) as folder:
        splits = copy_edited(source, folder, edit)
        if not splits.get(SPLIT):
            raise MxqvaeError(f"nothing of the split {SPLIT!r} would be left; let fewer captions lie")
        tree = {"name": "without-lies", "splits": splits, "source": _read_manifest(source)}
        (folder / MANIFEST_FILE).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    return splits[SPLIT]


class CountedCaptions(NamedTuple):
    """Training captions of one kind."""

    num_captions: int
    """All of them."""
    num_lying: int
    """Those whose slots are not those of the caption that is true of the image."""


def count_lies(folder: Path) -> dict[str, CountedCaptions]:
    """Count the training captions that lie, by kind, in a set of `corrupt_captions` or one made of it.

    A set without the column `original_caption` has none.

    Raises:
        MxqvaeError: No such data set, one without training pairs or that is not of Caption MNIST, or a file
            that is damaged.
    """
    shards = find_shards(folder).get(SPLIT)
    if not shards:
        raise MxqvaeError(f"data set {folder}: no split {SPLIT!r}, whose captions would be counted")
    found: Counter[str] = Counter()
    lying: Counter[str] = Counter()
    for path in shards:
        try:
            names = pq.read_schema(path).names
            true_name = "original_caption" if "original_caption" in names else "caption"
            rows = pq.read_table(path, columns=list({"kind", "caption", true_name}))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
        columns = (rows[name].to_pylist() for name in ("kind", "caption", true_name))
        for kind, said, true in zip(*columns, strict=True):
            found[kind] += 1
            lying[kind] += said != true and parse_caption(said) != parse_caption(true)
    return {kind: CountedCaptions(num, lying[kind]) for kind, num in sorted(found.items())}


def _choose(seed: int, total: int, num: int) -> np.ndarray:
    """Which pairs lie, (total,) bool, `num` of them: those that draw the smallest numbers."""
    draws = draws_by_number(seed, (CHOICE_STREAM,), first=0, num=total, num_words=1)
    order = np.argsort(np.array([draw.below(1 << 62) for draw in draws], np.int64), kind="stable")
    chosen = np.zeros(total, bool)
    chosen[order[:num]] = True
    return chosen


def _edit_rows(rows: pa.Table, chosen: np.ndarray, seed: int, first: int, path: Path) -> pa.Table:
    draws = draws_by_number(seed, (EDIT_STREAM,), first=first, num=len(rows), num_words=DRAWS_PER_PAIR)
    old_captions, all_slots = rows["caption"].to_pylist(), rows["slots"].to_pylist()
    captions = list(old_captions)
    for row in np.flatnonzero(chosen).tolist():
        slots = tuple(Slot(**slot) for slot in all_slots[row] or ())
        if not slots or parse_caption(captions[row]) != slots:
            raise MxqvaeError(
                f"{path}, row {first + row}: the caption does not say its slots; build the set again"
            )
        edited = edit_slots(slots, len(slots) - 1, draws[row])
        captions[row] = replace_slots(captions[row], edited)
        all_slots[row] = [slot._asdict() for slot in edited]
    schema, metadata = rows.schema, rows.schema.metadata
    for name, values in (("caption", captions), ("slots", all_slots)):
        index = schema.get_field_index(name)
        rows = rows.set_column(index, schema.field(index), pa.array(values, schema.field(index).type))
    rows = rows.append_column("corrupted", pa.array(chosen.tolist(), pa.bool_()))
    rows = rows.append_column("original_caption", pa.array(old_captions, pa.string()))
    return rows.replace_schema_metadata(metadata)


def _read_manifest(source: Path) -> dict[str, Any]:
    path = source / MANIFEST_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MxqvaeError(f"{path} is missing or damaged; build the data set again") from None


def _card(manifest: CorruptionManifest) -> str:
    return f"""\
---
license: cc-by-sa-3.0
language: [en]
configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# Caption MNIST with captions that lie

{manifest.num_corrupted:,} of {manifest.splits[SPLIT]:,} training captions name another digit and
another colour in one of their slots than their image shows. Everything else, the test pairs too, is that of
Caption MNIST.

| column | content |
|---|---|
| `image`, `kind` | as in Caption MNIST |
| `caption`, `slots` | what is said of the image |
| `corrupted` | whether it lies |
| `original_caption` | what is true of the image |

Built by mxqvae from seed {manifest.seed} (definition {manifest.version}); `manifest.json` names the source.
The digits are MNIST, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, CC BY-SA 3.0, and so is this
data set.
"""
