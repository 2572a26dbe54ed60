import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.audit.score_table import SCHEMA, ScoredPair, join_parts, read_scores, write_part
from mxqvae.data.pair_source import PairKey
from mxqvae.errors import MxqvaeError

PAIRS = [
    ScoredPair(
        PairKey("data/a", 0, 0), "Red 1.", 9.5, "1", "Red 2.", ["Red", "1", "."], [0.0, 9.5, 0.0], None
    ),
    ScoredPair(
        PairKey("data/a", 1, 0), "Red 1.", 0.5, "1", "Red 1.", ["Red", "1", "."], [0.0, 0.5, 0.0], None
    ),
    ScoredPair(PairKey("data/b", 0, 1), "", None, None, None, None, None, "no caption"),
]


def test_parts_join_to_one_table(tmp_path: Path):
    parts = [tmp_path / "0", tmp_path / "1"]
    write_part(parts[0], PAIRS[:2])
    write_part(parts[1], PAIRS[2:])
    table, text = tmp_path / "scores.parquet", tmp_path / "scores.csv"
    assert list(join_parts(parts, table, text)) == PAIRS == list(read_scores(table))
    assert pq.read_schema(table) == SCHEMA
    with text.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [name for name in SCHEMA.names if name != "words"]
    assert [row["score"] for row in rows] == ["9.5000", "0.5000", ""]
    assert [row["worst_word_score"] for row in rows] == ["9.5000", "0.5000", ""]
    assert pq.read_table(table)["worst_word_score"].to_pylist() == [9.5, 0.5, None]
    assert rows[0]["word_scores"] == "Red 0.00|1 9.50|. 0.00"
    assert rows[2]["problem"] == "no caption"


def test_contradicted_pairs_have_another_caption_proposed():
    assert [pair.is_contradicted for pair in PAIRS] == [True, False, False]


def test_other_files_are_refused(tmp_path: Path):
    path = tmp_path / "scores.parquet"
    with pytest.raises(MxqvaeError, match=r"scores.parquet: no such file; give the scores.parquet"):
        read_scores(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(MxqvaeError, match="not a readable parquet file"):
        read_scores(path)
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(MxqvaeError, match="is not a table of scores of this version"):
        read_scores(path)
