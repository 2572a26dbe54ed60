import json
import re
from collections import Counter
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.config import from_json
from mxqvae.data import degree as degree_module
from mxqvae.data.caption_grammar import COLOURS, QUADRANTS, Slot, parse_caption
from mxqvae.data.caption_mnist import CaptionMnistConfig, Manifest, build_caption_mnist
from mxqvae.data.degree import (
    DEGREE_KINDS,
    DRAWS_PER_PAIR,
    DegreeManifest,
    build_degree_sets,
    degrees_of,
    edit_slots,
    read_degree_set,
    split_name,
)
from mxqvae.data.draws import Draws, draws_by_number
from mxqvae.data.mnist import Mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError

SETS = [(kind, degree) for kind in DEGREE_KINDS for degree in degrees_of(kind)]
slot_lists = st.lists(
    st.builds(Slot, st.sampled_from(QUADRANTS), st.integers(0, 9), st.sampled_from(list(COLOURS))),
    min_size=1,
    max_size=4,
    unique_by=lambda slot: slot.position,
)
draw_words = st.lists(st.integers(0, 2**64 - 1), min_size=DRAWS_PER_PAIR, max_size=DRAWS_PER_PAIR)


class TestEdits:
    """What is drawn, slots only."""

    @given(slot_lists, draw_words)
    def test_as_many_slots_stay_as_the_degree_says(self, slots: list[Slot], words: list[int]):
        for degree in range(len(slots) + 1):
            edited = edit_slots(slots, degree, Draws(words))
            assert [slot.position for slot in edited] == [slot.position for slot in slots]
            changed = [(new, old) for new, old in zip(edited, slots, strict=True) if new != old]
            assert len(changed) == len(slots) - degree
            assert all(new.digit != old.digit and new.colour != old.colour for new, old in changed)
            assert all(0 <= slot.digit <= 9 and slot.colour in COLOURS for slot in edited)

    def test_all_edits_are_equally_likely(self):
        slots = [Slot(position, 3, "blue") for position in QUADRANTS]
        draws = draws_by_number(0, (2, 2), first=0, num=10_000, num_words=DRAWS_PER_PAIR)
        edited = [edit_slots(slots, 2, each) for each in draws]
        places = Counter(tuple(new != old for new, old in zip(e, slots, strict=True)) for e in edited)
        replacements = Counter(slot for e in edited for slot in e if slot.colour != "blue")
        for counts, num_outcomes in ((places, 6), (replacements, 4 * 9 * 3)):
            expected = counts.total() / num_outcomes
            assert len(counts) == num_outcomes
            assert max(abs(count - expected) for count in counts.values()) < 4.5 * sqrt(expected)


def test_degrees_run_from_all_slots_to_none():
    assert [list(degrees_of(kind)) for kind in DEGREE_KINDS] == [
        [1, 0],
        [2, 1, 0],
        [3, 2, 1, 0],
        [4, 3, 2, 1, 0],
    ]
    assert split_name("Quad4", 3) == "quad4_degree3"


class Row(NamedTuple):
    caption: str
    kind: str
    slots: tuple[Slot, ...]
    degree: int
    pair: int
    original_caption: str
    edited: list[str]


def read_rows(folder: Path, kind: str, degree: int) -> list[Row]:
    table = pq.read_table(folder / "data" / f"{split_name(kind, degree)}-00000-of-00001.parquet")
    rows: list[dict[str, Any]] = table.drop_columns("image").to_pylist()
    for row in rows:
        row["slots"] = tuple(Slot(**slot) for slot in row["slots"])
    return [Row(**row) for row in rows]


def all_rows(folder: Path) -> Iterator[Row]:
    for kind, degree in SETS:
        yield from read_rows(folder, kind, degree)


class TestSets:
    """What is built."""

    def test_every_pair_of_a_kind_is_in_every_set_of_the_kind(
        self, degree_sets_small: Path, caption_mnist_small: Path
    ):
        source = PairDataset.from_parquet(caption_mnist_small, "test")
        assert source.slots is not None
        for kind, degree in SETS:
            rows = read_rows(degree_sets_small, kind, degree)
            assert [row.pair for row in rows] == [
                number
                for number, slots in enumerate(source.slots)
                if len(slots) == degrees_of(kind)[0] and slots[0].position in QUADRANTS
            ]
            assert {(row.kind, row.degree) for row in rows} == {(kind, degree)}
            pairs = read_degree_set(degree_sets_small, kind, degree)
            assert pairs.images.equal(source.images[[row.pair for row in rows]])
            assert [row.original_caption for row in rows] == [source.captions[row.pair] for row in rows]
            assert pairs.captions == [row.caption for row in rows]
            assert pairs.slots == [row.slots for row in rows]

    def test_captions_say_their_slots_and_keep_all_other_words(self, degree_sets_small: Path):
        slot_word = rf"\b([0-9]|{'|'.join(COLOURS)})\b"
        for row in all_rows(degree_sets_small):
            assert parse_caption(row.caption) == row.slots
            assert re.sub(slot_word, "*", row.caption) == re.sub(slot_word, "*", row.original_caption)

    def test_edited_slots_differ_in_digit_and_colour_and_the_others_stay(self, degree_sets_small: Path):
        for row in all_rows(degree_sets_small):
            true = parse_caption(row.original_caption)
            assert true is not None
            assert len(row.edited) == len(true) - row.degree
            for said, shown in zip(row.slots, true, strict=True):
                assert said.position == shown.position
                if said.position in row.edited:
                    assert said.digit != shown.digit
                    assert said.colour != shown.colour
                else:
                    assert said == shown

    def test_the_full_degree_leaves_captions_as_they_are(self, degree_sets_small: Path):
        full = [row for row in all_rows(degree_sets_small) if row.degree == len(row.slots)]
        assert len(full) == 4 * 12
        assert all(row.caption == row.original_caption and row.edited == [] for row in full)

    def test_degrees_are_drawn_independently(self, degree_sets_small: Path):
        rows = {degree: read_rows(degree_sets_small, "Quad4", degree) for degree in range(4)}
        pairs_of_degrees = [(few, many) for few in range(4) for many in range(few + 1, 4)]
        assert any(
            not set(more.edited) >= set(less.edited)
            for few, many in pairs_of_degrees
            for more, less in zip(rows[few], rows[many], strict=True)
        )
        said = [{(row.pair, slot) for row in rows[degree] for slot in row.slots} for degree in (0, 1)]
        true = {(row.pair, slot) for row in rows[0] for slot in parse_caption(row.original_caption) or ()}
        assert len(said[0] & said[1] - true) < 12  # of 36; a nested draw would repeat them all

    def test_same_seed_same_bytes(self, caption_mnist_small: Path, degree_sets_small: Path, tmp_path: Path):
        build_degree_sets(caption_mnist_small, tmp_path / "again")
        files = sorted(path.relative_to(degree_sets_small) for path in degree_sets_small.rglob("*.*"))
        assert len(files) == len(SETS) + 2
        for file in files:
            assert (tmp_path / "again" / file).read_bytes() == (degree_sets_small / file).read_bytes()

    def test_another_seed_changes_captions_only(
        self, caption_mnist_small: Path, degree_sets_small: Path, tmp_path: Path
    ):
        one = read_manifest(degree_sets_small)
        other = build_degree_sets(caption_mnist_small, tmp_path / "other", seed=1)
        for kind, degree in SETS:
            first, second = one.splits[split_name(kind, degree)], other.splits[split_name(kind, degree)]
            assert first.pixels_sha256 == second.pixels_sha256
            assert (first.captions_sha256 == second.captions_sha256) == (degree == degrees_of(kind)[0])

    def test_a_pair_is_edited_the_same_whatever_other_pairs_there_are(
        self, mnist_sample: Mnist, degree_sets_small: Path, tmp_path: Path
    ):
        build_caption_mnist(CaptionMnistConfig(num_train=5, num_test=25), mnist_sample, tmp_path / "fewer")
        build_degree_sets(tmp_path / "fewer", tmp_path / "degree")
        for kind, degree in SETS:
            fewer = read_rows(tmp_path / "degree", kind, degree)
            assert len(fewer) == 5
            assert fewer == read_rows(degree_sets_small, kind, degree)[:5]

    def test_how_many_rows_are_written_at_a_time_changes_nothing(
        self,
        caption_mnist_small: Path,
        degree_sets_small: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.setattr(degree_module, "ROW_GROUP_SIZE", 5)
        manifest = build_degree_sets(caption_mnist_small, tmp_path / "out")
        assert manifest == read_manifest(degree_sets_small)

    def test_bytes_are_the_same_on_every_machine(self, degree_sets_small: Path):
        # If this fails, existing sets can't be rebuilt from their seed: raise degree.VERSION.
        manifest = read_manifest(degree_sets_small)
        assert manifest.version == 1
        assert manifest.splits["quad4_degree4"].captions_sha256.startswith("97f326a1f51da46d")
        assert manifest.splits["quad4_degree2"].captions_sha256.startswith("be44e48a1668ce40")
        assert manifest.splits["quad1_degree0"].captions_sha256.startswith("344255c251b52af8")
        assert manifest.splits["quad4_degree2"].pixels_sha256.startswith("898dbce0caf71b73")

    def test_the_manifest_tells_what_is_there(self, degree_sets_small: Path, caption_mnist_small: Path):
        manifest = read_manifest(degree_sets_small)
        source = from_json(Manifest, (caption_mnist_small / "manifest.json").read_bytes(), "manifest")
        assert (manifest.name, manifest.seed) == ("caption-mnist-degree", 0)
        assert manifest.source.splits == {"test": source.splits["test"]}
        assert manifest.source.mnist_sha256 == source.mnist_sha256
        assert list(manifest.splits) == [split_name(kind, degree) for kind, degree in SETS]
        for kind, degree in SETS:
            built = manifest.splits[split_name(kind, degree)]
            assert (built.num_pairs, built.kinds) == (12, {kind: 12})

    def test_they_open_in_datasets(
        self, degree_sets_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        import datasets

        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        opened = datasets.load_dataset(str(degree_sets_small), cache_dir=str(tmp_path))
        assert list(opened) == [split_name(kind, degree) for kind, degree in SETS]
        for kind, degree in SETS:
            rows = opened[split_name(kind, degree)]
            ours = read_rows(degree_sets_small, kind, degree)
            assert isinstance(rows.features["image"], datasets.Image)
            for name in ("caption", "degree", "pair", "original_caption", "edited"):
                assert rows[name][:] == [getattr(row, name) for row in ours]
            assert rows["slots"][:] == [[slot._asdict() for slot in row.slots] for row in ours]
        images = read_degree_set(degree_sets_small, "Quad4", 0).images
        np.testing.assert_array_equal(np.asarray(opened["quad4_degree0"][11]["image"]), images[11])

    def test_the_card_tells_counts_licence_and_origin(self, degree_sets_small: Path):
        card = (degree_sets_small / "README.md").read_text(encoding="utf-8")
        assert "12 pairs of Quad4" in card
        assert "license: cc-by-sa-3.0" in card
        assert "this is a reconstruction" in card


def read_manifest(folder: Path) -> DegreeManifest:
    return from_json(DegreeManifest, (folder / "manifest.json").read_bytes(), "manifest")


class TestOutput:
    """Whole or not at all."""

    def test_content_is_refused_or_replaced(self, caption_mnist_small: Path, tmp_path: Path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(MxqvaeError, match="not empty; choose another, or replace it with --overwrite"):
            build_degree_sets(caption_mnist_small, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
        build_degree_sets(caption_mnist_small, tmp_path, overwrite=True)
        assert {path.name for path in tmp_path.iterdir()} == {"README.md", "data", "manifest.json"}

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_a_build_that_stops_halfway_leaves_nothing(
        self,
        error: type[BaseException],
        caption_mnist_small: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        def stop_at_degree_2(slots: tuple[Slot, ...], degree: int, draws: Draws) -> tuple[Slot, ...]:
            if degree == 2:
                raise error
            return edit_slots(slots, degree, draws)

        monkeypatch.setattr(degree_module, "edit_slots", stop_at_degree_2)
        with pytest.raises(error):
            build_degree_sets(caption_mnist_small, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("inside", [".", ".."])
    def test_the_source_is_not_overwritten(self, caption_mnist_small: Path, inside: str):
        with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
            build_degree_sets(caption_mnist_small, caption_mnist_small / inside, overwrite=True)
        assert (caption_mnist_small / "manifest.json").exists()


class TestSource:
    """What is wrong with a source is said in one line, and nothing is written."""

    @pytest.fixture
    def source(self, caption_mnist_small: Path, tmp_path: Path) -> Path:
        """A copy, to damage."""
        (tmp_path / "source" / "data").mkdir(parents=True)
        for file in ("manifest.json", "data/test-00000-of-00001.parquet"):
            (tmp_path / "source" / file).write_bytes((caption_mnist_small / file).read_bytes())
        return tmp_path / "source"

    @staticmethod
    def refused(source: Path) -> str:
        with pytest.raises(MxqvaeError) as refusal:
            build_degree_sets(source, source.parent / "out")
        assert [path.name for path in source.parent.iterdir()] == ["source"]
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    @staticmethod
    def rewrite(source: Path, rows: list[dict[str, Any]], *dropped: str) -> None:
        path = source / "data" / "test-00000-of-00001.parquet"
        schema = pq.read_schema(path)
        table = pa.Table.from_pylist(rows, schema=schema).drop_columns(list(dropped))
        pq.write_table(table, path)

    @staticmethod
    def rows(source: Path) -> list[dict[str, Any]]:
        return pq.read_table(source / "data" / "test-00000-of-00001.parquet").to_pylist()

    def test_the_undamaged_copy_is_fine(self, source: Path, degree_sets_small: Path):
        assert build_degree_sets(source, source.parent / "out") == read_manifest(degree_sets_small)

    def test_no_test_split(self, source: Path):
        (source / "data" / "test-00000-of-00001.parquet").rename(source / "data" / "x-00000-of-00001.parquet")
        assert "no split 'test'; it has x" in self.refused(source)

    def test_no_slots(self, source: Path):
        self.rewrite(source, self.rows(source), "slots")
        assert "not Caption MNIST, no column slots; for photos" in self.refused(source)

    def test_no_pair_of_a_kind(self, source: Path):
        self.rewrite(source, [row for row in self.rows(source) if row["kind"] not in ("Quad2", "Quad4")])
        assert "no pair of kind Quad2, Quad4 in its test split" in self.refused(source)

    def test_slots_that_the_caption_does_not_say(self, source: Path):
        rows = self.rows(source)
        rows[7]["slots"][0]["digit"] = (rows[7]["slots"][0]["digit"] + 1) % 10
        self.rewrite(source, rows)
        assert "pair 7 of the test split does not have the slots that its caption says" in self.refused(
            source
        )

    def test_captions_unlike_the_manifest(self, source: Path):
        self.rewrite(source, list(reversed(self.rows(source))))
        assert "manifest.json: the test split is not as it says; build the data set" in self.refused(source)

    def test_no_manifest(self, source: Path):
        (source / "manifest.json").unlink()
        assert "manifest.json is missing; build the data set again" in self.refused(source)

    def test_another_manifest(self, source: Path):
        tree = json.loads((source / "manifest.json").read_text())
        del tree["seed"]
        (source / "manifest.json").write_text(json.dumps(tree))
        assert "key 'seed' is missing" in self.refused(source)


def test_reading_a_folder_without_degree_sets(caption_mnist_small: Path, tmp_path: Path):
    for folder in (caption_mnist_small, tmp_path / "nowhere"):
        with pytest.raises(
            MxqvaeError, match="no Degree sets in it; build them with `mxqvae data degree`, of photos"
        ):
            read_degree_set(folder, "Quad4", 4)
