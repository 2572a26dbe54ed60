"""A data set without the pairs that an audit found worst, or with the captions that it proposes.

The table of scores has the pairs in the order of the rows, so that both are read once, side by side.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mxqvae.audit.score_table import ScoredPair, read_scores
from mxqvae.config import configuration, to_json
from mxqvae.data.caption_grammar import parse_caption
from mxqvae.data.edited_copy import copy_edited
from mxqvae.data.manifest_file import MANIFEST_FILE, read_manifest
from mxqvae.data.pair_source import PairKey, captions_of_pairs
from mxqvae.data.pairs import columns_of_use
from mxqvae.data.shard_files import data_files
from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import check_sources_stay, new_output_folder

CARD_FILE = "README.md"
SOURCE_CARD_FILE = "source_card.md"
"""The card of the set that was filtered, of the first one where a filtered set was filtered again."""
_READ_AT_A_TIME = 1 << 20
"""Bytes."""


@configuration
class FilterManifest:
    """Which pairs were chosen, what became of them, and why."""

    name: str = "filtered"
    """Which kind of data set."""
    threshold: float | None
    """Bits above which a pair was chosen, if so asked."""
    keep_share: float | None
    """Share of the scored pairs that was not chosen, if so asked; neither: all with another caption were."""
    num_scored: int
    """Pairs with a score; those without one were kept as they are."""
    num_left_out: int
    """Chosen pairs that were left out."""
    num_corrected: int
    """Chosen pairs that have the proposed caption instead."""
    precision: float | None
    """Share of the chosen pairs whose captions lie, where the source's column `corrupted` says which do."""
    recall: float | None
    """Share of the audited pairs whose captions lie that was chosen."""
    splits: dict[str, int]
    """Rows kept, by split; a row goes when all of its captions do."""
    scores_sha256: str
    """Of the table of scores."""
    source: dict[str, Any] | None
    """Manifest of the data set that was filtered, where it has one."""


class _Judged(NamedTuple):
    """A row of the table of scores, and whether it is chosen."""

    pair: ScoredPair
    is_chosen: bool


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
    limit = float(np.float32(threshold))  # as exact as the scores
    judged = (_Judged(pair, pair.score is not None and pair.score > limit) for pair in read_scores(scores))
    return _copy(source, scores, out, judged, _without, threshold=threshold, overwrite=overwrite)


def filter_by_share(
    source: Path, scores: Path, out: Path, *, keep_share: float, overwrite: bool = False
) -> FilterManifest:
    """Copy a data set into the folder `out` with this share, in [0, 1], of its scored pairs, the best.

    Of equal pairs the first ones are kept. Takes a few bytes of memory for each pair, the other functions
    none. Other arguments and errors as in `filter_by_threshold`.
    """
    values = np.fromiter(
        (np.nan if pair.score is None else pair.score for pair in read_scores(scores)), np.float32
    )
    scored = np.flatnonzero(~np.isnan(values))
    order = scored[np.argsort(values[scored], kind="stable")]
    chosen = np.zeros(len(values), bool)
    chosen[order[round(keep_share * len(order)) :]] = True
    judged = (_Judged(pair, bool(some)) for pair, some in zip(read_scores(scores), chosen, strict=True))
    return _copy(source, scores, out, judged, _without, keep_share=keep_share, overwrite=overwrite)


def leave_out_contradicted(
    source: Path, scores: Path, out: Path, *, overwrite: bool = False
) -> FilterManifest:
    """Copy a data set into the folder `out` without the pairs for which the audit proposes another caption.

    Arguments and errors as in `filter_by_threshold`.
    """
    return _copy(source, scores, out, _contradicted(scores), _without, overwrite=overwrite)


def correct_captions(source: Path, scores: Path, out: Path, *, overwrite: bool = False) -> FilterManifest:
    """Copy a data set into the folder `out` with the captions that the audit proposes.

    A column `slots` goes with them, without any where the grammar of Caption MNIST does not know the
    caption; a column `corrupted`, which says of the old caption whether it lies, is empty for the new one.
    Arguments and errors as in `filter_by_threshold`.
    """
    return _copy(source, scores, out, _contradicted(scores), _corrected, overwrite=overwrite)


def _contradicted(scores: Path) -> Iterator[_Judged]:
    return (_Judged(pair, pair.is_contradicted) for pair in read_scores(scores))


_Change = Callable[[pa.Table, list[list[_Judged]]], pa.Table]
"""From rows and the pairs of each to the rows to write."""


def _copy(
    source: Path,
    scores: Path,
    out: Path,
    judged: Iterator[_Judged],
    change: _Change,
    *,
    threshold: float | None = None,
    keep_share: float | None = None,
    overwrite: bool,
) -> FilterManifest:
    """Copy a data set, the rows of audited shards changed; `judged` has their pairs, in order."""
    check_sources_stay(out, source, scores)
    tally = _Tally()
    upcoming = next(judged, None)
    if upcoming is not None and not (source / upcoming.pair.key.file).is_file():
        raise MxqvaeError(
            f"{scores} is of another data set than {source}, which has no {upcoming.pair.key.file}"
        )
    audited: Path | None = None

    def edit(shard: Path, first: int, rows: pa.Table) -> pa.Table:
        nonlocal upcoming, audited
        if upcoming is not None and upcoming.pair.key.file == shard.as_posix():
            audited = shard
        if shard != audited:
            return rows
        columns_of_use(source / shard, rows.schema)
        found: list[list[_Judged]] = []
        for row, captions in enumerate(captions_of_pairs(rows), start=first):
            found.append([])
            for number, caption in enumerate(captions):
                place = PairKey(shard.as_posix(), row, number)
                if upcoming is None or (upcoming.pair.key, upcoming.pair.caption) != (place, caption):
                    raise MxqvaeError(
                        f"{scores} is of another data set than {source}, or that was changed: {shard}, "
                        f"row {row}, has another caption; audit this data set"
                    )
                found[-1].append(upcoming)
                upcoming = next(judged, None)
        tally.add(rows, found)
        return change(rows, found)

    with new_output_folder(out, overwrite=overwrite) as folder:
        splits = copy_edited(source, folder, edit)
        if upcoming is not None:
            raise MxqvaeError(f"{scores} has pairs that {source} lacks; audit this data set")
        empty = [split for split, num in splits.items() if not num]
        if empty:
            raise MxqvaeError(f"nothing of the split {empty[0]!r} would be left; keep more of it")
        manifest = FilterManifest(
            threshold=threshold,
            keep_share=keep_share,
            num_scored=tally.num_scored,
            num_left_out=tally.num_chosen if change is _without else 0,
            num_corrected=tally.num_chosen if change is _corrected else 0,
            precision=tally.num_found / tally.num_known if tally.num_lies and tally.num_known else None,
            recall=tally.num_found / tally.num_lies if tally.num_lies else None,
            splits=splits,
            scores_sha256=_sha256(scores),
            source=read_manifest(source),
        )
        (folder / MANIFEST_FILE).write_text(to_json(manifest) + "\n", encoding="utf-8")
        card = _source_card(source)
        done = _DONE_BY[change]
        (folder / CARD_FILE).write_text(_card(manifest, tally.num_chosen, done, card), encoding="utf-8")
        if card is not None:
            (folder / SOURCE_CARD_FILE).write_text(card, encoding="utf-8")
    return manifest


@dataclass
class _Tally:
    """Pairs counted so far."""

    num_scored: int = 0
    num_chosen: int = 0
    num_known: int = 0
    """Chosen pairs of which a column says whether their captions lie."""
    num_lies: int = 0
    """Whose captions lie, as far as a column says so."""
    num_found: int = 0
    """Of these the chosen ones."""

    def add(self, rows: pa.Table, judged: list[list[_Judged]]) -> None:
        """Count the pairs of some rows."""
        for row in judged:
            self.num_scored += sum(pair.score is not None for pair, _ in row)
            self.num_chosen += sum(is_chosen for _, is_chosen in row)
        # The column is of sets with one caption in a row.
        if "captions" in rows.column_names or "corrupted" not in rows.column_names:
            return
        for lies, (only,) in zip(rows["corrupted"].to_pylist(), judged, strict=True):
            self.num_known += lies is not None and only.is_chosen
            self.num_lies += lies is True
            self.num_found += lies is True and only.is_chosen


def _without(rows: pa.Table, judged: list[list[_Judged]]) -> pa.Table:
    """The rows without the chosen pairs."""
    if "captions" not in rows.column_names:
        return rows.filter(pa.array([not only.is_chosen for (only,) in judged], pa.bool_()))
    old = [captions or [] for captions in rows["captions"].to_pylist()]
    new = [
        # An image that never had a caption has a pair all the same, without one.
        [caption for caption, (_, is_chosen) in zip(captions, row, strict=False) if not is_chosen]
        for captions, row in zip(old, judged, strict=True)
    ]
    keep = [bool(kept) or not captions for kept, captions in zip(new, old, strict=True)]
    return _with_column(rows, "captions", new).filter(pa.array(keep, pa.bool_()))


def _corrected(rows: pa.Table, judged: list[list[_Judged]]) -> pa.Table:
    """The rows with the proposed captions of the chosen pairs."""
    if "captions" in rows.column_names:
        new = [
            [
                pair.proposed_caption if is_chosen else caption
                for caption, (pair, is_chosen) in zip(captions or [], row, strict=False)
            ]
            for captions, row in zip(rows["captions"].to_pylist(), judged, strict=True)
        ]
        return _with_column(rows, "captions", new)
    chosen = pa.array([only.is_chosen for (only,) in judged], pa.bool_())
    texts = [only.pair.proposed_caption if only.is_chosen else None for (only,) in judged]
    # Not by way of Python: texts that are not UTF-8 stay as they are.
    proposed = pa.array(texts, rows.schema.field("caption").type)
    if "slots" in rows.column_names:
        slots = [
            old if text is None else [slot._asdict() for slot in parse_caption(text) or ()]
            for old, text in zip(rows["slots"].to_pylist(), texts, strict=True)
        ]
        rows = _with_column(rows, "slots", slots)
    if "corrupted" in rows.column_names:
        known = pc.call_function("if_else", [chosen, pa.scalar(None, pa.bool_()), rows["corrupted"]])
        rows = _with_column(rows, "corrupted", known)
    return _with_column(rows, "caption", pc.call_function("if_else", [chosen, proposed, rows["caption"]]))


_DONE_BY: dict[_Change, str] = {
    _without: "are left out",
    _corrected: "have the caption that was proposed instead of their own",
}
"""What becomes of the chosen pairs, in words."""


def _with_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    index, metadata = rows.schema.get_field_index(name), rows.schema.metadata
    field = rows.schema.field(index)
    column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, field.type)
    return rows.set_column(index, field, column).replace_schema_metadata(metadata)


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


def _card(manifest: FilterManifest, num_chosen: int, done: str, source_card: str | None) -> str:
    licence = terms = ""
    if source_card is not None:
        licence = _licence_lines(source_card)
        terms = f"\nThe terms of the source hold for this data set too: `{SOURCE_CARD_FILE}` is its card.\n"
    if manifest.threshold is not None:
        rule = f"with more than {manifest.threshold:g} bits"
    elif manifest.keep_share is not None:
        rule = f"with the most bits, so that a share of {manifest.keep_share:g} stays"
    else:
        rule = "with a word that the image contradicts"
    return f"""\
---
{licence}configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# A filtered data set

{num_chosen:,} of {manifest.num_scored:,} scored pairs of another data set {done}: those
{rule}, in an audit by mxqvae. Rows and columns are otherwise those of the
source, which `manifest.json` names.
{terms}"""
