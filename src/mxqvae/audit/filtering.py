"""A data set without the pairs that an audit found worst."""

import hashlib
from collections import defaultdict
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mxqvae.audit.score_table import read_scores
from mxqvae.config import configuration, to_json
from mxqvae.data.edited_copy import copy_edited, data_files
from mxqvae.data.manifest_file import MANIFEST_FILE, read_manifest
from mxqvae.data.pair_source import captions_of_pairs
from mxqvae.data.pairs import columns_of_use
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import new_output_folder

CARD_FILE = "README.md"
SOURCE_CARD_FILE = "source_card.md"
"""The card of the set that was filtered, of the first one where a filtered set was filtered again."""
_READ_AT_A_TIME = 1 << 20
"""Bytes."""


@configuration
class FilterManifest:
    """What was left out, and why."""

    name: str = "filtered"
    """Which kind of data set."""
    threshold: float | None
    """Bits above which a pair was left out, if so asked."""
    keep_share: float | None
    """Share of the scored pairs that was kept, if so asked."""
    num_scored: int
    """Pairs with a score; those without one were kept."""
    num_left_out: int
    """Pairs left out."""
    splits: dict[str, int]
    """Rows kept, by split; a row goes when all of its captions do."""
    scores_sha256: str
    """Of the table of scores."""
    source: dict[str, Any] | None
    """Manifest of the data set that was filtered, where it has one."""


def filter_by_threshold(
    source: Path, scores: Path, out: Path, *, threshold: float, overwrite: bool = False
) -> FilterManifest:
    """Copy a data set into the folder `out` without the pairs of more than `threshold` bits.

    Args:
        source: The folder that was audited.
        scores: The scores.parquet of that audit; splits that it lacks are copied whole.
        threshold: Finite.
        overwrite: Replace what `out` holds, once the new set is complete.

    Raises:
        MxqvaeError: A damaged source or table, a table of another data set, a split that would be empty; or
            `out` has content and `overwrite` is false.
    """
    left_out = _scores(scores) > threshold  # nan, no score, is not
    return _filter(source, scores, out, left_out, threshold=threshold, overwrite=overwrite)


def filter_by_share(
    source: Path, scores: Path, out: Path, *, keep_share: float, overwrite: bool = False
) -> FilterManifest:
    """Copy a data set into the folder `out` with this share, in [0, 1], of its scored pairs, the best.

    Of equal pairs the first ones are kept. Other arguments and errors as in `filter_by_threshold`.
    """
    values = _scores(scores)
    scored = np.flatnonzero(~np.isnan(values))
    order = scored[np.argsort(values[scored], kind="stable")]
    left_out = np.zeros(len(values), bool)
    left_out[order[round(keep_share * len(order)) :]] = True
    return _filter(source, scores, out, left_out, keep_share=keep_share, overwrite=overwrite)


def _scores(path: Path) -> np.ndarray:
    """All scores, NaN where there is none."""
    return np.array([np.nan if pair.score is None else pair.score for pair in read_scores(path)], np.float32)


def _filter(
    source: Path,
    scores: Path,
    out: Path,
    left_out: np.ndarray,
    *,
    threshold: float | None = None,
    keep_share: float | None = None,
    overwrite: bool,
) -> FilterManifest:
    if source.resolve().is_relative_to(out.resolve()):
        raise MxqvaeError(f"output folder {out} holds the data set to read; choose another")
    num_scored = num_found = num_left_out = 0
    unwanted: dict[Path, set[tuple[int, int]]] = defaultdict(set)
    # Of each caption its hash: the table may be too long for memory.
    captions: dict[Path, dict[tuple[int, int], int]] = defaultdict(dict)
    for pair, is_left_out in zip(read_scores(scores), left_out.tolist(), strict=True):
        num_scored += pair.score is not None
        file, place = Path(pair.key.file), (pair.key.row, pair.key.caption_number)
        captions[file][place] = hash(pair.caption)
        if is_left_out:
            unwanted[file].add(place)
    missing = [str(file) for file in captions if not (source / file).is_file()]
    if missing:
        raise MxqvaeError(f"{scores} is of another data set than {source}, which has no {missing[0]}")

    def edit(shard: Path, first: int, rows: pa.Table) -> pa.Table:
        nonlocal num_found, num_left_out
        if shard not in captions:
            return rows
        columns_of_use(source / shard, rows.schema)
        for row, row_captions in enumerate(captions_of_pairs(rows), start=first):
            for number, caption in enumerate(row_captions):
                if captions[shard].get((row, number)) != hash(caption):
                    raise MxqvaeError(
                        f"{scores} is of another data set than {source}, or that was changed: {shard}, "
                        f"row {row}, has another caption; audit this data set"
                    )
            num_found += len(row_captions)
        kept, num_rows_left_out = _without(rows, unwanted[shard], first)
        num_left_out += num_rows_left_out
        return kept

    with new_output_folder(out, overwrite=overwrite) as folder:
        splits = copy_edited(source, folder, edit)
        if num_found != len(left_out):
            raise MxqvaeError(f"{scores} has pairs that {source} lacks; audit this data set")
        empty = [split for split, num in splits.items() if not num]
        if empty:
            raise MxqvaeError(f"nothing of the split {empty[0]!r} would be left; keep more of it")
        manifest = FilterManifest(
            threshold=threshold,
            keep_share=keep_share,
            num_scored=num_scored,
            num_left_out=num_left_out,
            splits=splits,
            scores_sha256=_sha256(scores),
            source=read_manifest(source),
        )
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        card = _source_card(source)
        (folder / CARD_FILE).write_text(_card(manifest, card), encoding="utf-8")
        if card is not None:
            (folder / SOURCE_CARD_FILE).write_text(card, encoding="utf-8")
    return manifest


def _without(rows: pa.Table, unwanted: set[tuple[int, int]], first: int) -> tuple[pa.Table, int]:
    """The rows without some of their pairs, and how many pairs these were."""
    if "captions" not in rows.column_names:
        keep = [(first + row, 0) not in unwanted for row in range(len(rows))]
        return rows.filter(pa.array(keep, pa.bool_())), keep.count(False)
    old = [captions or [] for captions in rows["captions"].to_pylist()]
    new = [
        [caption for number, caption in enumerate(captions) if (first + row, number) not in unwanted]
        for row, captions in enumerate(old)
    ]
    index = rows.schema.get_field_index("captions")
    field, metadata = rows.schema.field(index), rows.schema.metadata
    rows = rows.set_column(index, field, pa.array(new, field.type)).replace_schema_metadata(metadata)
    # An image that never had a caption stays.
    keep = [bool(kept) or not captions for kept, captions in zip(new, old, strict=True)]
    return rows.filter(pa.array(keep, pa.bool_())), sum(map(len, old)) - sum(map(len, new))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while some := file.read(_READ_AT_A_TIME):
            digest.update(some)
    return digest.hexdigest()


def _source_card(source: Path) -> str | None:
    """The card that says the terms of the pairs, where there is one."""
    for name in (SOURCE_CARD_FILE, CARD_FILE):
        if (source / name).is_file():
            return (source / name).read_text(encoding="utf-8", errors="replace")
    return None


def _licence_lines(card: str) -> str:
    """The lines of a card's front matter, each with its line feed, that name a licence for the hub."""
    lines = card.splitlines()
    if not lines or lines[0].strip() != "---":
        return ""
    kept, is_of_licence = [], False
    for line in takewhile(lambda line: line.strip() != "---", lines[1:]):
        # A value may go on in lines that are indented, or in a list.
        if not line.startswith((" ", "\t", "-")):
            is_of_licence = line.startswith("license")
        if is_of_licence:
            kept.append(line + "\n")
    return "".join(kept)


def _card(manifest: FilterManifest, source_card: str | None) -> str:
    licence = terms = ""
    if source_card is not None:
        licence = _licence_lines(source_card)
        terms = f"\nThe terms of the source hold for this data set too: `{SOURCE_CARD_FILE}` is its card.\n"
    rule = (
        f"more than {manifest.threshold:g} bits"
        if manifest.threshold is not None
        else f"the most bits, so that a share of {manifest.keep_share:g} stays"
    )
    return f"""\
---
{licence}configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# A filtered data set

{manifest.num_left_out:,} of {manifest.num_scored:,} scored pairs of another data set are left out: those
with {rule}, in an audit by mxqvae. Rows and columns are otherwise those of the
source, which `manifest.json` names.
{terms}"""
