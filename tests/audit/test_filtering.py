import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.audit.filtering import filter_by_share, filter_by_threshold
from mxqvae.audit.score_table import ScoredPair, write_part
from mxqvae.data.pair_source import PairKey, captions_of_pairs
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError

SHARD = "data/train-00000-of-00001.parquet"


def write_scores(
    path: Path, scores: Mapping[tuple[int, int], float | None], source: Path, file: str = SHARD
) -> Path:
    """A table of the shard `SHARD` of `source`, under the name `file`."""
    captions = captions_of_pairs(pq.read_table(source / SHARD))
    rows = [
        ScoredPair(PairKey(file, row, number), captions[row][number], score, *(None,) * 5)
        for (row, number), score in scores.items()
    ]
    write_part(path, rows)
    return path


@pytest.fixture
def scores(dirty: Path, tmp_path: Path) -> Path:
    """Pair i has i bits, but for the last, which has none."""
    values: dict[tuple[int, int], float | None] = {(row, 0): float(row) for row in range(60)}
    return write_scores(tmp_path / "scores.parquet", values | {(59, 0): None}, dirty)


def test_what_is_above_the_threshold_goes(dirty: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "out"
    manifest = filter_by_threshold(dirty, scores, out, threshold=40.0)
    old, new = pq.read_table(dirty / SHARD), pq.read_table(out / SHARD)
    assert new.schema.equals(old.schema, check_metadata=True)
    assert new.equals(pa.concat_tables([old.slice(0, 41), old.slice(59)]))  # no score: it stays
    assert (manifest.num_scored, manifest.num_left_out, manifest.splits) == (59, 18, {"train": 42})
    assert json.loads((out / "manifest.json").read_text())["source"]["name"] == "caption-mnist-corrupted"
    assert len(PairDataset.from_parquet(out, "train")) == 42


def test_the_best_share_stays(dirty: Path, scores: Path, tmp_path: Path):
    manifest = filter_by_share(dirty, scores, tmp_path / "out", keep_share=0.5)
    assert manifest.num_left_out == 59 - round(0.5 * 59)
    assert pq.read_table(tmp_path / "out" / SHARD)["caption"].to_pylist() == (
        pq.read_table(dirty / SHARD)["caption"].to_pylist()[:30]
        + pq.read_table(dirty / SHARD)["caption"].to_pylist()[59:]
    )


def test_of_equal_pairs_the_first_stay(dirty: Path, tmp_path: Path):
    scores = write_scores(tmp_path / "scores.parquet", {(row, 0): 1.0 for row in range(60)}, dirty)
    filter_by_share(dirty, scores, tmp_path / "out", keep_share=0.25)
    assert pq.read_table(tmp_path / "out" / SHARD).equals(pq.read_table(dirty / SHARD).slice(0, 15))


def test_single_captions_of_an_image_go(tmp_path: Path):
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    (source / "tokenizer.json").write_text("{}")
    captions = [["a", "b", "c"], ["d"], []]
    images = [{"bytes": name} for name in (b"x", b"y", b"z")]
    pq.write_table(pa.table({"image": images, "captions": captions}), source / SHARD)
    scores = write_scores(
        tmp_path / "scores.parquet",
        {(0, 0): 1.0, (0, 1): 9.0, (0, 2): 1.0, (1, 0): 9.0, (2, 0): None},
        source,
    )
    manifest = filter_by_threshold(source, scores, tmp_path / "out", threshold=5.0)
    rows = pq.read_table(tmp_path / "out" / SHARD).to_pylist()
    assert [(row["image"]["bytes"], row["captions"]) for row in rows] == [(b"x", ["a", "c"]), (b"z", [])]
    assert (manifest.num_left_out, manifest.source) == (2, None)
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_what_does_not_fit_is_refused(dirty: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "out"
    every_row = {(row, 0): 1.0 for row in range(60)}
    for values, file, message in (
        (every_row, SHARD, "nothing of the split 'train' would be left"),
        ({(0, 0): 1.0}, "data/x", "is of another data set than"),
        (dict(list(every_row.items())[:59]), SHARD, "is of another data set than .*, row 59, has another"),
    ):
        table = write_scores(tmp_path / "table", values, dirty, file)
        with pytest.raises(MxqvaeError, match=message):
            filter_by_threshold(dirty, table, out, threshold=0.0)
    with pytest.raises(MxqvaeError, match="holds the data set to read"):
        filter_by_threshold(dirty, scores, dirty.parent, threshold=0.0)
    assert not out.exists()


def test_a_table_of_another_data_set_is_refused(dirty: Path, scores: Path, tmp_path: Path):
    """The same shards and rows, other captions; then fewer rows."""
    other = tmp_path / "other"
    shutil.copytree(dirty, other)
    rows = pq.read_table(dirty / SHARD)
    captions = rows["caption"].to_pylist()
    captions[41], captions[42] = captions[42], captions[41]
    index = rows.schema.get_field_index("caption")
    pq.write_table(rows.set_column(index, "caption", pa.array(captions)), other / SHARD, row_group_size=25)
    message = r"scores\.parquet is of another data set than .*, row 41, has another caption; audit this"
    for filter_pairs in (
        lambda: filter_by_threshold(other, scores, tmp_path / "out", threshold=40.0),
        lambda: filter_by_share(other, scores, tmp_path / "out", keep_share=0.5),
    ):
        with pytest.raises(MxqvaeError, match=message):
            filter_pairs()
    pq.write_table(rows.slice(0, 50), other / SHARD)
    with pytest.raises(MxqvaeError, match=r"has pairs that .* lacks; audit this data set"):
        filter_by_threshold(other, scores, tmp_path / "out", threshold=40.0)
    assert not (tmp_path / "out").exists()


def test_the_source_s_licence_and_card_are_carried_along(dirty: Path, scores: Path, tmp_path: Path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    filter_by_threshold(dirty, scores, once, threshold=100.0)
    card = (once / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-sa-3.0\nconfigs:\n")
    assert "`source_card.md` is its card" in card
    assert (once / "source_card.md").read_text() == (dirty / "README.md").read_text()
    filter_by_threshold(once, scores, twice, threshold=100.0)
    for name in ("README.md", "source_card.md"):
        assert (twice / name).read_text() == (once / name).read_text()


@pytest.mark.parametrize(
    ("card", "beginning"),
    [
        (None, "---\nconfigs:\n"),
        ("# A set\nlicense: mine\n", "---\nconfigs:\n"),
        ("---\nconfigs: []\n---\nlicense: mine\n", "---\nconfigs:\n"),
        (
            "---\nlanguage: en\nlicense:\n- mit\n- other\nlicense_name: x\npretty_name: y\n---\n",
            "---\nlicense:\n- mit\n- other\nlicense_name: x\nconfigs:\n",
        ),
    ],
    ids=range(4),
)
def test_cards_of_all_kinds(dirty: Path, scores: Path, tmp_path: Path, card: str | None, beginning: str):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(dirty, source)
    (source / "README.md").unlink()
    if card is not None:
        (source / "README.md").write_text(card)
    filter_by_threshold(source, scores, out, threshold=100.0)
    assert (out / "README.md").read_text().startswith(beginning)
    assert (out / "source_card.md").exists() is (card is not None)


def test_texts_that_are_not_utf8_stay(tmp_path: Path):
    """They are pairs without a caption, and have no score."""
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    texts = pa.array([b"a", b"caf\xe9", b"c"]).view(pa.string())
    pq.write_table(pa.table({"image": [{"bytes": b"x"}] * 3, "caption": texts}), source / SHARD)
    scores = write_scores(tmp_path / "scores", {(0, 0): 1.0, (1, 0): None, (2, 0): 9.0}, source)
    filter_by_threshold(source, scores, tmp_path / "out", threshold=5.0)
    kept = pq.read_table(tmp_path / "out" / SHARD)["caption"].combine_chunks().view(pa.binary())
    assert kept.to_pylist() == [b"a", b"caf\xe9"]
