import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.caption_grammar import parse_caption
from mxqvae.data.corruption import corrupt_captions, count_lies, leave_out_lies
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError

TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def corrupted(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "corrupted"
    corrupt_captions(caption_mnist_small, out, share=0.2, seed=3)
    return out


def test_exactly_the_share_lies_in_one_slot_each(corrupted: Path, caption_mnist_small: Path):
    rows = pq.read_table(corrupted / TRAIN).to_pylist()
    source = pq.read_table(caption_mnist_small / TRAIN).to_pylist()
    assert sum(row["corrupted"] for row in rows) == 60
    for row, old in zip(rows, source, strict=True):
        assert row["original_caption"] == old["caption"]
        assert (row["image"], row["kind"]) == (old["image"], old["kind"])
        said, true = parse_caption(row["caption"]), parse_caption(old["caption"])
        assert said is not None
        assert true is not None
        assert [slot._asdict() for slot in said] == row["slots"]
        different = [(a, b) for a, b in zip(said, true, strict=True) if a != b]
        assert len(different) == row["corrupted"]
        for one, other in different:
            assert one.position == other.position
            assert one.digit != other.digit
            assert one.colour != other.colour


def test_test_pairs_are_as_they_were(corrupted: Path, caption_mnist_small: Path):
    new, old = pq.read_table(corrupted / TEST), pq.read_table(caption_mnist_small / TEST)
    assert new.select(old.column_names).equals(old)
    assert not any(new["corrupted"].to_pylist())
    # Both splits have the same columns, or `datasets` would not open them together.
    assert pq.read_schema(corrupted / TEST).equals(pq.read_schema(corrupted / TRAIN), check_metadata=True)


def test_a_seed_says_which_and_a_larger_share_adds(
    corrupted: Path, caption_mnist_small: Path, tmp_path: Path
):
    again, more, other = tmp_path / "again", tmp_path / "more", tmp_path / "other"
    corrupt_captions(caption_mnist_small, again, share=0.2, seed=3)
    corrupt_captions(caption_mnist_small, more, share=0.4, seed=3)
    corrupt_captions(caption_mnist_small, other, share=0.2, seed=4)
    for name in (TRAIN, TEST, "manifest.json", "README.md"):
        assert (again / name).read_bytes() == (corrupted / name).read_bytes()
    first, second = (pq.read_table(folder / TRAIN).to_pylist() for folder in (corrupted, more))
    assert sum(row["corrupted"] for row in second) == 120
    assert all(b["caption"] == a["caption"] for a, b in zip(first, second, strict=True) if a["corrupted"])
    assert pq.read_table(other / TRAIN)["corrupted"].to_pylist() != [row["corrupted"] for row in first]


def test_it_is_a_data_set_with_a_manifest(corrupted: Path, caption_mnist_small: Path):
    pairs = PairDataset.from_parquet(corrupted, "train")
    assert pairs.slots is not None
    assert len(pairs) == 300
    manifest = json.loads((corrupted / "manifest.json").read_text())
    assert manifest["num_corrupted"] == 60
    assert manifest["source"] == json.loads((caption_mnist_small / "manifest.json").read_text())


@pytest.mark.parametrize(("share", "num"), [(0.0, 0), (1.0, 300)])
def test_none_and_all(caption_mnist_small: Path, tmp_path: Path, share: float, num: int):
    manifest = corrupt_captions(caption_mnist_small, tmp_path / "out", share=share)
    assert manifest.num_corrupted == num


def test_captions_that_lie_are_not_corrupted_again(corrupted: Path, tmp_path: Path):
    with pytest.raises(MxqvaeError, match="its captions lie already; take the set that it was made of"):
        corrupt_captions(corrupted, tmp_path / "out", share=0.2)
    assert not (tmp_path / "out").exists()


def test_sources_that_will_not_do(caption_mnist_small: Path, tmp_path: Path):
    with pytest.raises(MxqvaeError, match="nowhere: no such folder"):
        corrupt_captions(tmp_path / "nowhere", tmp_path / "out", share=0.2)
    with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
        corrupt_captions(caption_mnist_small, caption_mnist_small.parent, share=0.2)
    bare = tmp_path / "bare"
    (bare / "data").mkdir(parents=True)
    pq.write_table(pq.read_table(caption_mnist_small / TEST), bare / TEST)
    with pytest.raises(MxqvaeError, match="no split 'train'"):
        corrupt_captions(bare, tmp_path / "out", share=0.2)
    pq.write_table(pq.read_table(caption_mnist_small / TRAIN).drop_columns(["slots"]), bare / TRAIN)
    with pytest.raises(MxqvaeError, match="no column slots"):
        corrupt_captions(bare, tmp_path / "out", share=0.2)
    assert not (tmp_path / "out").exists()


def totals(folder: Path) -> tuple[int, int]:
    counted = count_lies(folder).values()
    return sum(kind.num_captions for kind in counted), sum(kind.num_lying for kind in counted)


def test_lies_are_counted_by_kind(corrupted: Path, caption_mnist_small: Path, tmp_path: Path):
    assert totals(caption_mnist_small) == (300, 0)
    assert totals(corrupted) == (300, 60)
    rows = pq.read_table(corrupted / TRAIN).to_pylist()
    for kind, counted in count_lies(corrupted).items():
        marks = [row["corrupted"] for row in rows if row["kind"] == kind]
        assert counted == (len(marks), sum(marks))
    (tmp_path / "data").mkdir()
    shutil.copy(corrupted / TEST, tmp_path / TEST)
    with pytest.raises(MxqvaeError, match="no split 'train', whose captions would be counted"):
        count_lies(tmp_path)
    (tmp_path / TRAIN).write_bytes(b"PAR1")
    with pytest.raises(MxqvaeError, match="train-00000"):
        count_lies(tmp_path)


def test_a_caption_that_was_mended_is_no_lie(corrupted: Path, tmp_path: Path):
    shutil.copytree(corrupted, tmp_path / "mended")
    rows = pq.read_table(tmp_path / "mended" / TRAIN)
    number = rows["corrupted"].to_pylist().index(True)
    captions = rows["caption"].to_pylist()
    captions[number] = rows["original_caption"][number].as_py()
    index = rows.schema.get_field_index("caption")
    mended = rows.set_column(index, rows.schema.field(index), pa.array(captions, pa.string()))
    pq.write_table(mended, tmp_path / "mended" / TRAIN)
    assert totals(tmp_path / "mended") == (300, 59)


def test_what_is_left_without_the_lies_is_true(corrupted: Path, caption_mnist_small: Path, tmp_path: Path):
    assert leave_out_lies(corrupted, tmp_path / "true") == 240
    assert totals(tmp_path / "true") == (240, 0)
    assert len(PairDataset.from_parquet(tmp_path / "true", "test")) == 60
    with pytest.raises(MxqvaeError, match="no column corrupted; take a set of `mxqvae data corrupt`"):
        leave_out_lies(caption_mnist_small, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_set_of_nothing_but_lies_is_not_emptied(caption_mnist_small: Path, tmp_path: Path):
    corrupt_captions(caption_mnist_small, tmp_path / "lies", share=1.0)
    with pytest.raises(MxqvaeError, match="nothing of the split 'train' would be left"):
        leave_out_lies(tmp_path / "lies", tmp_path / "true")
