import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.audit.filtering import (
    correct_captions,
    filter_by_share,
    filter_by_threshold,
    leave_out_contradicted,
)
from mxqvae.audit.score_table import ScoredPair, read_scores, write_part
from mxqvae.data.caption_grammar import parse_caption
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


def propose(path: Path, proposals: Mapping[tuple[int, int], str]) -> Path:
    """Let the table propose captions for some pairs, and for all others those that they have."""
    pairs = list(read_scores(path))
    new = [proposals.get((pair.key.row, pair.key.caption_number), pair.caption) for pair in pairs]
    write_part(path, [pair._replace(proposed_caption=text) for pair, text in zip(pairs, new, strict=True)])
    return path


@pytest.fixture
def truth(dirty: Path) -> dict[tuple[int, int], str]:
    """The true captions of the 12 pairs that lie."""
    rows = pq.read_table(dirty / SHARD).to_pylist()
    return {(i, 0): row["original_caption"] for i, row in enumerate(rows) if row["corrupted"]}


def test_contradicted_pairs_go(dirty: Path, scores: Path, truth: dict[tuple[int, int], str], tmp_path: Path):
    some = dict(list(truth.items())[:9]) | {(0, 0): "This is red 1.", (1, 0): "This is red 1."}
    manifest = leave_out_contradicted(dirty, propose(scores, some), tmp_path / "out")
    rows = pq.read_table(dirty / SHARD)
    kept = [row for row in range(60) if (row, 0) not in some]
    assert pq.read_table(tmp_path / "out" / SHARD).equals(rows.take(kept))
    assert (manifest.num_left_out, manifest.num_corrected) == (len(some), 0)
    num_found = len(some.keys() & truth.keys())
    assert (manifest.precision, manifest.recall) == (num_found / len(some), num_found / 12)
    assert (
        "pairs of another data set are left out: those\nwith a word that"
        in (tmp_path / "out" / "README.md").read_text()
    )


def test_contradicted_captions_are_corrected(dirty: Path, truth: dict[tuple[int, int], str], tmp_path: Path):
    odd = min(row for row in range(60) if (row, 0) not in truth)
    scores = write_scores(tmp_path / "scores", {(row, 0): 1.0 for row in range(60)}, dirty)
    propose(scores, truth | {(odd, 0): "No such words."})
    manifest = correct_captions(dirty, scores, tmp_path / "out")
    old, new = pq.read_table(dirty / SHARD), pq.read_table(tmp_path / "out" / SHARD)
    assert new.schema.equals(old.schema, check_metadata=True)
    rows = new.to_pylist()
    assert (rows[odd]["caption"], rows[odd]["slots"]) == ("No such words.", [])
    for number, row in enumerate(rows):
        if number != odd:
            assert row["caption"] == row["original_caption"]
            slots = parse_caption(row["caption"])
            assert slots is not None
            assert row["slots"] == [slot._asdict() for slot in slots]
    for name in ("image", "original_caption"):
        assert new[name].equals(old[name])
    assert {row["corrupted"] for row in rows} == {False, None}
    assert all(
        (row["corrupted"] is None) == (row["caption"] != before)
        for row, before in zip(rows, old["caption"].to_pylist(), strict=True)
    )
    assert (manifest.num_left_out, manifest.num_corrected, manifest.recall) == (0, 13, 1)
    assert manifest.precision == 12 / 13
    assert (
        "13 of 60 scored pairs of another data set have the caption that was proposed"
        in (tmp_path / "out" / "README.md").read_text()
    )


def test_mended_captions_do_not_count_as_lies_again(
    dirty: Path, truth: dict[tuple[int, int], str], tmp_path: Path
):
    all_rows = {(row, 0): 1.0 for row in range(60)}
    found = dict(list(truth.items())[:5])
    once, twice = tmp_path / "once", tmp_path / "twice"
    correct_captions(dirty, propose(write_scores(tmp_path / "first", all_rows, dirty), found), once)
    again = propose(write_scores(tmp_path / "second", all_rows, once), truth)
    manifest = correct_captions(once, again, twice)
    assert (manifest.num_corrected, manifest.precision, manifest.recall) == (7, 1, 1)


def test_a_set_in_which_nothing_was_to_correct_says_so(dirty: Path, tmp_path: Path):
    scores = write_scores(tmp_path / "scores", {(row, 0): 1.0 for row in range(60)}, dirty)
    correct_captions(dirty, propose(scores, {}), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\n0 of 60 scored pairs of another data set have the caption that was proposed" in card


def test_single_captions_of_an_image_are_corrected(tmp_path: Path):
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    captions = [["a", "b"], None, ["c"]]
    pq.write_table(pa.table({"image": [{"bytes": b"x"}] * 3, "captions": captions}), source / SHARD)
    values = {(0, 0): 1.0, (0, 1): 9.0, (1, 0): None, (2, 0): 1.0}
    scores = propose(write_scores(tmp_path / "scores", values, source), {(0, 1): "B"})
    manifest = correct_captions(source, scores, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / SHARD)["captions"].to_pylist() == [["a", "B"], [], ["c"]]
    assert (manifest.num_corrected, manifest.precision, manifest.recall) == (1, None, None)


def test_only_what_was_audited_is_looked_at(dirty: Path, scores: Path, tmp_path: Path):
    """Shards before and behind it are copied whole."""
    source = tmp_path / "source"
    shutil.copytree(dirty, source)
    others = [source / "data" / f"{name}-00000-of-00001.parquet" for name in ("a", "z")]
    for other in others:
        shutil.copyfile(dirty / SHARD, other)
    manifest = filter_by_threshold(source, scores, tmp_path / "out", threshold=40.0)
    assert manifest.splits == {"a": 60, "train": 42, "z": 60}
    assert manifest.recall is not None
    truth = pq.read_table(dirty / SHARD)["corrupted"].to_pylist()
    assert manifest.recall == pytest.approx(sum(truth[41:59]) / 12)
    assert manifest.precision == pytest.approx(sum(truth[41:59]) / 18)


def test_a_table_that_ends_between_row_groups_is_refused(dirty: Path, tmp_path: Path):
    table = write_scores(tmp_path / "table", {(row, 0): 1.0 for row in range(25)}, dirty)
    with pytest.raises(MxqvaeError, match="row 25, has another caption"):
        filter_by_threshold(dirty, table, tmp_path / "out", threshold=2.0)


def test_a_table_in_another_order_is_refused(dirty: Path, tmp_path: Path):
    table = write_scores(tmp_path / "table", {(row, 0): 1.0 for row in reversed(range(60))}, dirty)
    with pytest.raises(MxqvaeError, match="row 0, has another caption"):
        filter_by_threshold(dirty, table, tmp_path / "out", threshold=2.0)


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
    beside = tmp_path / "audit" / "scores.parquet"
    beside.parent.mkdir()
    write_scores(beside, every_row, dirty, SHARD)
    with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
        filter_by_threshold(dirty, beside, beside.parent, threshold=2.0, overwrite=True)
    assert beside.is_file()
    with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
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
    correct_captions(source, propose(scores, {(2, 0): "d"}), tmp_path / "corrected")
    kept = pq.read_table(tmp_path / "corrected" / SHARD)["caption"].combine_chunks().view(pa.binary())
    assert kept.to_pylist() == [b"a", b"caf\xe9", b"d"]
