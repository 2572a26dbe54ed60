import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mxqvae.config import from_json, override
from mxqvae.data import caption_mnist
from mxqvae.data.caption_grammar import (
    CENTRE,
    COLOURS,
    KINDS,
    POSITION_WORDS,
    QUADRANT_FORMS,
    QUADRANTS,
    Clause,
    ClauseForm,
    Slot,
    compose_caption,
    kind_of,
    parse_caption,
)
from mxqvae.data.caption_mnist import (
    CaptionMnistConfig,
    DrawnPair,
    Manifest,
    build_caption_mnist,
    digit_corner,
    draw_pairs,
    render,
)
from mxqvae.data.mnist import SHA256, Mnist, MnistDigits
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.progress import Advance

TINY = CaptionMnistConfig(num_train=23, num_test=7)
ONE_OF_EACH_DIGIT = np.arange(10, dtype=np.uint8)


def draw(num: int, *, first: int = 0, seed: int = 0, split: str = "train") -> list[DrawnPair]:
    return draw_pairs(ONE_OF_EACH_DIGIT, split, seed, first=first, num=num)


def assert_uniform(counts: Counter, num_outcomes: int) -> None:
    """Every outcome occurs, and as often as the others but for chance (4.5 standard deviations)."""
    expected = counts.total() / num_outcomes
    assert len(counts) == num_outcomes
    assert max(abs(count - expected) for count in counts.values()) < 4.5 * sqrt(expected)


class TestDraws:
    """What is drawn, without pixels."""

    @given(st.integers(0, 2**64), st.sampled_from(["train", "test"]), st.integers(0, 99), st.integers(1, 99))
    def test_a_pair_depends_on_seed_split_and_number_alone(self, seed: int, split: str, first: int, num: int):
        everything = draw(first + num, seed=seed, split=split)
        assert draw(num, first=first, seed=seed, split=split) == everything[first:]

    def test_seeds_and_splits_differ(self):
        drawn = [draw(50), draw(50, seed=1), draw(50, split="test")]
        assert all(one != other for i, one in enumerate(drawn) for other in drawn[:i])

    @given(st.integers(0, 2**64))
    def test_captions_say_the_slots(self, seed: int):
        for pair in draw(10, seed=seed):
            assert parse_caption(compose_caption(pair.clauses)) == pair.slots
            assert len({slot.position for slot in pair.slots}) == len(pair.slots)

    def test_kinds_have_equal_shares_in_mixed_order(self):
        kinds = [kind_of(pair.slots) for pair in draw(10_000)]
        blocks = [tuple(kinds[i : i + 5]) for i in range(0, len(kinds), 5)]
        assert all(sorted(block) == sorted(KINDS) for block in blocks)
        assert_uniform(Counter(blocks), 120)

    def test_slots_are_uniform_and_independent(self):
        pairs = draw(20_000)
        quads = [slot for pair in pairs for slot in pair.slots if slot.position != CENTRE]
        singles = [slot for pair in pairs for slot in pair.slots if slot.position == CENTRE]
        assert_uniform(Counter(quads), 4 * 10 * 4)
        assert_uniform(Counter(singles), 10 * 4)
        quad4 = [pair.slots for pair in pairs if len(pair.slots) == 4]
        assert_uniform(Counter(tuple(slot.position for slot in slots) for slots in quad4), 24)
        assert_uniform(Counter((slots[0].digit, slots[1].digit) for slots in quad4), 100)
        assert_uniform(Counter((slots[0].colour, slots[3].colour) for slots in quad4), 16)
        quad2 = [pair.slots for pair in pairs if len(pair.slots) == 2]
        assert_uniform(Counter(tuple(slot.position for slot in slots) for slots in quad2), 12)

    def test_words_are_uniform_and_independent(self):
        pairs = draw(20_000)
        clauses = [clause for pair in pairs for clause in pair.clauses]
        quads = [clause for clause in clauses if clause.form in QUADRANT_FORMS]
        assert_uniform(Counter((clause.form, clause.position_words) for clause in quads), 3 * 8)
        assert_uniform(Counter((clause.form, clause.slot.digit) for clause in quads), 30)
        quad2 = [pair.clauses for pair in pairs if len(pair.clauses) == 2]
        assert_uniform(Counter((first.form, second.form) for first, second in quad2), 9)
        assert all(clause.position_words in POSITION_WORDS[clause.slot.position] for clause in quads)
        assert all(clause.form is ClauseForm.SINGLE for clause in clauses if clause.slot.position == CENTRE)

    def test_images_of_a_digit_are_uniform(self):
        labels = np.array([*range(10), 3, 3, 3], np.uint8)  # 3 has four images, the others one
        pairs = draw_pairs(labels, "train", 0, first=0, num=20_000)
        drawn = [
            (clause.slot.digit, index)
            for pair in pairs
            for clause, index in zip(pair.clauses, pair.digit_indices, strict=True)
        ]
        assert all(labels[index] == digit for digit, index in drawn)
        assert_uniform(Counter(digit for digit, _ in drawn), 10)
        assert_uniform(Counter(index for digit, index in drawn if digit == 3), 4)

    def test_a_digit_without_images_is_named(self):
        with pytest.raises(MxqvaeError, match="MNIST test split: no digit 0, 7;"):
            draw_pairs(np.array([1, 2, 3, 4, 5, 6, 8, 9]), "test", 0, first=0, num=5)


class TestRendering:
    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("position", [*QUADRANTS, CENTRE])
    def test_a_digit_in_the_middle_of_its_cell(self, position: str, colour: str, mnist_sample: Mnist):
        left, top, width = {
            "upper left": (0, 0, 32),
            "upper right": (32, 0, 32),
            "lower left": (0, 32, 32),
            "lower right": (32, 32, 32),
            CENTRE: (0, 0, 64),
        }[position]
        middle = (width - 28) // 2
        clause = Clause(Slot(position, 5, colour), ClauseForm.SINGLE, "")
        image = render([DrawnPair((clause,), (11,))], mnist_sample.train.images)[0]

        expected = np.zeros((64, 64, 3))
        intensity = mnist_sample.train.images[11] / 255
        cell = expected[top : top + width, left : left + width]
        cell[middle:-middle, middle:-middle] = intensity[:, :, None] * np.array(COLOURS[colour])
        np.testing.assert_allclose(image, expected)
        assert digit_corner(position) == (top + middle, left + middle)

    def test_cells_do_not_disturb_each_other(self, mnist_sample: Mnist):
        pairs = draw_pairs(mnist_sample.train.labels, "train", 0, first=0, num=50)
        together = render(pairs, mnist_sample.train.images)
        for image, pair in zip(together, pairs, strict=True):
            parts = [
                DrawnPair((clause,), (index,))
                for clause, index in zip(pair.clauses, pair.digit_indices, strict=True)
            ]
            np.testing.assert_array_equal(image, render(parts, mnist_sample.train.images).sum(0))

    def test_shape(self, mnist_sample: Mnist):
        images = render(draw(7), mnist_sample.train.images)
        assert images.shape == (7, 64, 64, 3)
        assert images.dtype == np.uint8


class RecordingProgress:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, int]] = []

    @contextmanager
    def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        now_done = done

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal now_done
            now_done += count

        yield advance
        self.tasks.append((f"{description} [{unit}]", total, now_done))

    def say(self, text: str) -> None:
        raise AssertionError(text)


class TestBuild:
    def test_same_seed_same_manifest(self, mnist_sample: Mnist, tmp_path: Path):
        one = build_caption_mnist(TINY, mnist_sample, tmp_path / "one")
        assert build_caption_mnist(TINY, mnist_sample, tmp_path / "two") == one
        other_seed = CaptionMnistConfig(num_train=23, num_test=7, seed=1)
        three = build_caption_mnist(other_seed, mnist_sample, tmp_path / "three")
        for split in ("train", "test"):
            assert three.splits[split].pixels_sha256 != one.splits[split].pixels_sha256
            assert three.splits[split].captions_sha256 != one.splits[split].captions_sha256

    def test_how_many_rows_are_written_at_a_time_changes_nothing(
        self, mnist_sample: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        manifest = build_caption_mnist(TINY, mnist_sample, tmp_path / "one")
        monkeypatch.setattr(caption_mnist, "ROW_GROUP_SIZE", 4)
        assert build_caption_mnist(TINY, mnist_sample, tmp_path / "two") == manifest

    def test_a_larger_data_set_begins_with_the_smaller(
        self, caption_mnist_small: Path, mnist_sample: Mnist, tmp_path: Path
    ):
        build_caption_mnist(TINY, mnist_sample, tmp_path / "tiny")
        for split, num in (("train", 23), ("test", 7)):
            tiny = PairDataset.from_parquet(tmp_path / "tiny", split)
            small = PairDataset.from_parquet(caption_mnist_small, split)
            assert tiny.captions == small.captions[:num]
            assert tiny.images.equal(small.images[:num])

    def test_bytes_are_the_same_on_every_machine(self, caption_mnist_small: Path):
        # If this fails, existing data sets can't be rebuilt from their seed: raise caption_mnist.VERSION.
        manifest = from_json(Manifest, (caption_mnist_small / "manifest.json").read_bytes(), "manifest")
        assert manifest.version == 1
        assert manifest.splits["train"].pixels_sha256.startswith("0eb80a6b5f73e195")
        assert manifest.splits["train"].captions_sha256.startswith("838c05e50a86947f")
        assert manifest.splits["test"].pixels_sha256.startswith("b4c00ab022fd5b72")
        assert manifest.splits["test"].captions_sha256.startswith("fda0b0b414f68b7d")

    def test_the_manifest_tells_what_is_there(self, caption_mnist_small: Path, mnist_sample: Mnist):
        manifest = from_json(Manifest, (caption_mnist_small / "manifest.json").read_bytes(), "manifest")
        assert manifest.seed == 0
        assert manifest.name == "caption-mnist"
        assert manifest.mnist_sha256.keys() == SHA256.keys()
        for split, num in (("train", 300), ("test", 60)):
            pairs = PairDataset.from_parquet(caption_mnist_small, split)
            built = manifest.splits[split]
            captions = "".join(f"{caption}\n" for caption in pairs.captions)
            assert built.num_pairs == len(pairs) == num
            assert built.kinds == dict.fromkeys(KINDS, num // 5)
            assert built.pixels_sha256 == hashlib.sha256(pairs.images.numpy().tobytes()).hexdigest()
            assert built.captions_sha256 == hashlib.sha256(captions.encode()).hexdigest()

    def test_splits_show_their_own_digits_only(self, caption_mnist_small: Path, mnist_sample: Mnist):
        for split, own, other in (
            ("train", mnist_sample.train, mnist_sample.test),
            ("test", mnist_sample.test, mnist_sample.train),
        ):
            labels = {image.tobytes(): label for image, label in zip(own.images, own.labels, strict=True)}
            foreign = {image.tobytes() for image in other.images}
            assert not labels.keys() & foreign
            pairs = PairDataset.from_parquet(caption_mnist_small, split)
            assert pairs.slots is not None
            for image, slots in zip(pairs.images.numpy(), pairs.slots, strict=True):
                for slot in slots:
                    top, left = digit_corner(slot.position)
                    intensity = image[top : top + 28, left : left + 28].max(-1)
                    assert labels[intensity.tobytes()] == slot.digit

    def test_slots_are_what_the_captions_say(self, caption_mnist_small: Path):
        pairs = PairDataset.from_parquet(caption_mnist_small, "train")
        assert pairs.slots is not None
        assert pairs.slots == [parse_caption(caption) for caption in pairs.captions]
        seen = {(slot.position, slot.colour) for slots in pairs.slots for slot in slots}
        assert seen == {(position, colour) for position in (*QUADRANTS, CENTRE) for colour in COLOURS}

    def test_it_opens_in_datasets(
        self, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        import datasets

        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        opened = datasets.load_dataset(str(caption_mnist_small), cache_dir=str(tmp_path))
        assert opened.keys() == {"train", "test"}
        for split, rows in opened.items():
            ours = PairDataset.from_parquet(caption_mnist_small, str(split))
            assert isinstance(rows.features["image"], datasets.Image)
            assert rows["caption"][:] == ours.captions
            assert rows["kind"][:] == [kind_of(slots) for slots in ours.slots or []]
            assert rows["slots"][:] == [[slot._asdict() for slot in slots] for slots in ours.slots or []]
            for index in (0, len(rows) - 1):
                np.testing.assert_array_equal(np.asarray(rows[index]["image"]), ours.images[index])

    def test_progress(self, mnist_sample: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(caption_mnist, "ROW_GROUP_SIZE", 4)
        progress = RecordingProgress()
        build_caption_mnist(TINY, mnist_sample, tmp_path / "out", progress=progress)
        assert progress.tasks == [("build train pairs [pairs]", 23, 23), ("build test pairs [pairs]", 7, 7)]

    def test_the_card_tells_counts_and_licence(self, caption_mnist_small: Path):
        card = (caption_mnist_small / "README.md").read_text(encoding="utf-8")
        assert "300 train and 60 test pairs" in card
        assert "license: cc-by-sa-3.0" in card


class TestOutput:
    """Whole or not at all."""

    def test_a_folder_with_content_is_refused_and_kept(self, mnist_sample: Mnist, tmp_path: Path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(MxqvaeError, match="not empty"):
            build_caption_mnist(TINY, mnist_sample, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_overwrite_replaces_it(self, mnist_sample: Mnist, tmp_path: Path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "mine.txt").write_text("mine")
        build_caption_mnist(TINY, mnist_sample, out, overwrite=True)
        assert {path.name for path in out.iterdir()} == {"README.md", "data", "manifest.json"}

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_build_that_stops_halfway_leaves_nothing(
        self, error: type[BaseException], overwrite: bool, mnist_sample: Mnist, tmp_path: Path, monkeypatch
    ):
        if overwrite:
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "mine.txt").write_text("mine")
        before = sorted(tmp_path.rglob("*"))

        def stop_at_the_test_split(pairs: list[DrawnPair], digit_images: np.ndarray) -> np.ndarray:
            if len(digit_images) == len(mnist_sample.test.images):
                raise error
            return render(pairs, digit_images)

        monkeypatch.setattr(caption_mnist, "render", stop_at_the_test_split)
        with pytest.raises(error):
            build_caption_mnist(TINY, mnist_sample, tmp_path / "out", overwrite=overwrite)
        assert sorted(tmp_path.rglob("*")) == before

    def test_digits_that_lack_one(self, mnist_sample: Mnist, tmp_path: Path):
        no_fours = mnist_sample.test.labels != 4
        digits = Mnist(
            mnist_sample.train,
            MnistDigits(mnist_sample.test.images[no_fours], mnist_sample.test.labels[no_fours]),
        )
        with pytest.raises(MxqvaeError, match="no digit 4"):
            build_caption_mnist(TINY, digits, tmp_path / "out")
        assert not any(tmp_path.iterdir())


class TestConfig:
    @pytest.mark.parametrize(
        "assignment", ["num_train=0", "num_train=-1", "num_test=0", "seed=-1", "seed=1.5", 'num_train="5"']
    )
    def test_impossible_values_are_named(self, assignment: str):
        name, _, value = assignment.partition("=")
        with pytest.raises(ValidationError):
            CaptionMnistConfig(**{name: json.loads(value)})
        with pytest.raises(MxqvaeError, match=name):
            override(CaptionMnistConfig(), [assignment])

    def test_default_size(self):
        assert CaptionMnistConfig() == CaptionMnistConfig(num_train=60_000, num_test=10_000, seed=0)


def test_building_needs_no_torch():
    program = "import sys, mxqvae.data.caption_mnist; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ).returncode == 0
