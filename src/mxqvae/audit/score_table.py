"""The table of scores: a row for each pair, in parts while an audit runs, then whole, as parquet and CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mxqvae.data.pair_source import PairKey
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

ROWS_READ = 10_000
"""Rows in memory at a time."""
DULL_BITS = 1.0
"""A word with fewer bits has neither colour nor heat map nor regions."""

SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "row": pa.int64(),
        "caption_number": pa.int32(),
        "caption": pa.string(),
        "score": pa.float32(),
        "worst_word": pa.string(),
        "worst_word_score": pa.float32(),
        "proposed_caption": pa.string(),
        "words": pa.list_(pa.string()),
        "word_scores": pa.list_(pa.float32()),
        "problem": pa.string(),
    }
)
"""The columns; those from `score` on are null where a pair cannot be audited, `problem` where it can."""


class ScoredPair(NamedTuple):
    """A pair and what the audit says of it: a row of the table."""

    key: PairKey
    caption: str
    score: float | None
    """Bits; the higher, the worse image and caption fit together. None: not audited, see `problem`."""
    worst_word: str | None
    """The word with the highest score."""
    proposed_caption: str | None
    """The caption with the words that the image contradicts replaced; itself where there are none."""
    words: list[str] | None
    """The caption's words and marks."""
    word_scores: list[float] | None
    """Bits of each of them; words past what the model reads of a long caption are left out."""
    problem: str | None
    """Why it was not audited."""

    @property
    def worst_word_score(self) -> float | None:
        """Bits of that word; None where there is none."""
        return max(self.word_scores) if self.word_scores else None

    @property
    def warm_words(self) -> list[int]:
        """The numbers of the words with `DULL_BITS` or more, worst first."""
        bits = self.word_scores or []
        return sorted((n for n, some in enumerate(bits) if some >= DULL_BITS), key=lambda n: -bits[n])

    @property
    def is_contradicted(self) -> bool:
        """Whether some word is contradicted."""
        return self.score is not None and self.proposed_caption != self.caption


def write_part(path: Path, pairs: Sequence[ScoredPair]) -> None:
    """Write some rows; the file appears whole or not at all."""
    rows = [
        pair.key._asdict()
        | {name: value for name, value in pair._asdict().items() if name != "key"}
        | {"worst_word_score": pair.worst_word_score}
        for pair in pairs
    ]
    with new_output_file(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial)


def join_parts(parts: Iterable[Path], parquet: Path, text: Path) -> Iterator[ScoredPair]:
    """Write all rows of `parts` to one parquet and one CSV file, and yield them as they go by."""
    with pq.ParquetWriter(parquet, SCHEMA) as table, text.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(name for name in SCHEMA.names if name != "words")
        for part in parts:
            rows = pq.read_table(part, schema=SCHEMA)
            table.write_table(rows)
            for row in rows.to_pylist():
                writer.writerow(_cells(row))
                yield _scored_pair(row)


def read_scores(path: Path) -> Iterator[ScoredPair]:
    """The rows of a scores.parquet, in constant memory.

    Raises:
        MxqvaeError: It is missing, damaged or another table.
    """
    if not path.is_file():
        raise MxqvaeError(f"{path}: no such file; give the scores.parquet that `mxqvae audit` wrote")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise MxqvaeError(
            f"{path} is not a readable parquet file; give the scores.parquet that `mxqvae audit` wrote"
        ) from None
    if file.schema_arrow.names != SCHEMA.names:
        raise MxqvaeError(
            f"{path} is not a table of scores of this version; give the scores.parquet of `mxqvae audit`"
        )
    return (_scored_pair(row) for batch in file.iter_batches(ROWS_READ) for row in batch.to_pylist())


def _scored_pair(row: dict[str, Any]) -> ScoredPair:
    key = PairKey(row["file"], row["row"], row["caption_number"])
    return ScoredPair(key, **{name: row[name] for name in ScoredPair._fields if name != "key"})


def _cells(row: dict[str, Any]) -> list[object]:
    """A row of the CSV, its words in one cell such as `the 0.0|red 9.3`."""
    words, scores = row["words"] or [], row["word_scores"] or []
    together = "|".join(f"{word} {score:.2f}" for word, score in zip(words, scores, strict=True))
    return [
        together if name == "word_scores" else _rounded(row[name]) for name in SCHEMA.names if name != "words"
    ]


def _rounded(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value
