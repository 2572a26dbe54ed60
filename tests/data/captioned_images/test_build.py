import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.config import from_json
from mxqvae.data.captioned_images import shards
from mxqvae.data.captioned_images.build import SHEET_PAIRS, build_captioned_images
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.detection import open_source
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig, Manifest
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.progress import Advance

SMALL = CaptionedImagesConfig(image_size=16, test_share=0.3)


def build(source: Any, out: Path, config: CaptionedImagesConfig = SMALL, **options: Any) -> Manifest:
    return build_captioned_images(source, out, config, draw_sheet=contact_sheet, **options)


def read_rows(folder: Path, split: str) -> list[dict[str, Any]]:
    paths = sorted((folder / "data").glob(f"{split}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def colours(picture: Callable[..., Image.Image], encode: Callable[..., bytes]) -> list[SourcePair]:
    """Sixty pictures with a caption or two, a few of them with none, and some captions alone."""
    pairs = []
    for number in range(60):
        captions = (f"Picture {number} of colours.", f"colours no. {number}")[: number % 3]
        pairs.append(SourcePair(f"{number}.png", encode(picture(number, 16, 16)), captions))
    return [*pairs, *(SourcePair(f"alone {number}", None, (f"Words {number}.",)) for number in range(9))]


@pytest.fixture
def built(colours: list[SourcePair], listed: Callable, tmp_path: Path) -> Path:
    build(listed(colours), tmp_path / "built")
    return tmp_path / "built"


class TestContent:
    def test_every_pair_is_in_one_split(self, built: Path, colours: list[SourcePair]):
        rows = {split: read_rows(built, split) for split in ("train", "test")}
        assert all(rows.values())
        found = sorted(
            (None if row["image"] is None else row["image"]["path"], tuple(row["captions"]))
            for split in rows.values()
            for row in split
            if row["image"] is not None
        )
        assert found == sorted((p.name, p.captions) for p in colours if p.image is not None)
        alone = {row["captions"][0] for split in rows.values() for row in split if row["image"] is None}
        assert alone == {f"Words {number}." for number in range(9)}

    def test_rows_keep_the_order_of_the_source(self, built: Path, colours: list[SourcePair]):
        place = {pair.captions: number for number, pair in enumerate(colours)}
        for split in ("train", "test"):
            places = [place[tuple(row["captions"])] for row in read_rows(built, split) if row["captions"]]
            assert places == sorted(places)

    def test_pixels(self, built: Path, picture: Callable[..., Image.Image]):
        for row in read_rows(built, "train"):
            if row["image"] is not None:
                number = int(row["image"]["path"].removesuffix(".png"))
                pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
                assert (pixels == np.asarray(picture(number, 16, 16))).all()

    def test_it_opens_as_pairs(self, built: Path):
        pairs = PairDataset.from_parquet(built, "train")
        rows = read_rows(built, "train")
        assert pairs.images.shape[1:] == (16, 16, 3)
        assert len(pairs.images) == sum(row["image"] is not None for row in rows)
        captions = [caption for row in rows for caption in row["captions"]]
        assert [caption for caption in pairs.captions if caption] == captions

    def test_it_opens_in_datasets(self, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        import datasets

        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        opened: Any = datasets.load_dataset(str(built), cache_dir=str(tmp_path / "cache"))
        assert opened.keys() == {"train", "test"}
        for split, rows in opened.items():
            ours = read_rows(built, str(split))
            assert isinstance(rows.features["image"], datasets.Image)
            assert rows["captions"][:] == [row["captions"] for row in ours]
            for row, our in zip(rows, ours, strict=True):
                assert (row["image"] is None) == (our["image"] is None)
            decoded = np.asarray(rows["image"][0])
            assert (decoded == np.asarray(Image.open(io.BytesIO(ours[0]["image"]["bytes"])))).all()

    def test_it_can_be_built_from_itself(self, built: Path, tmp_path: Path):
        again = build(open_source(str(built), AskedColumns()), tmp_path / "again")
        first = from_json(Manifest, (built / "manifest.json").read_bytes(), "manifest")
        assert again.layout == "parquet files"
        for split, counts in again.splits.items():
            assert counts.num_images == first.splits[split].num_images
            assert {r["image"]["bytes"] for r in read_rows(built, split) if r["image"]} == {
                r["image"]["bytes"] for r in read_rows(tmp_path / "again", split) if r["image"]
            }

    def test_the_tokenizer_knows_training_captions_alone(self, built: Path):
        manifest = from_json(Manifest, (built / "manifest.json").read_bytes(), "manifest")
        tokenizer = CaptionTokenizer.load(built / "tokenizer.json")
        assert (tokenizer.vocab_size, tokenizer.max_length) == (
            manifest.tokenizer.vocab_size,
            manifest.tokenizer.max_length,
        )
        captions = [caption for row in read_rows(built, "train") for caption in row["captions"]]
        trained = CaptionTokenizer.train_subwords(captions, vocab_size=320, max_length=tokenizer.max_length)
        trained.save(built / "again.json")
        assert (built / "again.json").read_bytes() == (built / "tokenizer.json").read_bytes()


class TestSplits:
    @pytest.fixture
    def published(self, colours: list[SourcePair]) -> list[SourcePair]:
        """With captions, and more of them for testing than dealing would give."""
        whole = [pair for pair in colours if pair.image and pair.captions]
        return [pair._replace(split="test" if n % 4 else "train") for n, pair in enumerate(whole)]

    def test_splits_without_training_are_refused(
        self, colours: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        tested = listed([pair._replace(split="test") for pair in colours])
        with pytest.raises(MxqvaeError, match="hold no image for training; leave out"):
            build(tested, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_published_splits_are_kept(self, published: list[SourcePair], listed: Callable, tmp_path: Path):
        manifest = build(listed(published), tmp_path / "out")
        assert manifest.published_splits
        for split in ("train", "test"):
            names = [row["image"]["path"] for row in read_rows(tmp_path / "out", split)]
            assert names == [pair.name for pair in published if pair.split == split]
        card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert "Splits are those that the source names;" in card

    def test_unless_new_ones_are_asked_for(
        self, published: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        dealt = build(listed([pair._replace(split=None) for pair in published]), tmp_path / "dealt")
        anew = CaptionedImagesConfig(image_size=16, test_share=0.3, new_splits=True)
        manifest = build(listed(published), tmp_path / "anew", anew)
        assert manifest.splits == dealt.splits
        assert not manifest.published_splits
        card = (tmp_path / "anew" / "README.md").read_text(encoding="utf-8")
        assert "Splits are dealt by image, never by caption." in card


class TestReport:
    def test_the_manifest_tells_what_is_there(self, built: Path):
        manifest = from_json(Manifest, (built / "manifest.json").read_bytes(), "manifest")
        assert manifest.layout == "a list"
        assert manifest.config == SMALL
        for split, counts in manifest.splits.items():
            rows = read_rows(built, split)
            assert counts.num_rows == len(rows)
            assert counts.num_images == sum(row["image"] is not None for row in rows)
            assert counts.num_captions == sum(len(row["captions"]) for row in rows)
            assert counts.num_images_without_caption == sum(not row["captions"] for row in rows)
            assert counts.num_rows_without_image == sum(row["image"] is None for row in rows)

    def test_bytes_are_the_same_on_every_machine(self, built: Path):
        # If this fails, existing data sets can't be rebuilt from their seed: raise manifest.VERSION.
        manifest = from_json(Manifest, (built / "manifest.json").read_bytes(), "manifest")
        assert manifest.version == 2
        assert {split: counts.pixels_sha256[:8] for split, counts in manifest.splits.items()} == {
            "train": "2974b5a1",
            "test": "ae3f0a3e",
        }
        assert {split: counts.captions_sha256[:8] for split, counts in manifest.splits.items()} == {
            "train": "8cd2592d",
            "test": "767118d5",
        }

    def test_cut_captions_are_counted(self, colours: list[SourcePair], listed: Callable, tmp_path: Path):
        config = CaptionedImagesConfig(image_size=16, max_length=4)
        manifest = build(listed(colours), tmp_path / "out", config)
        tokenizer = CaptionTokenizer.load(tmp_path / "out" / "tokenizer.json")
        captions = [
            caption
            for split in ("train", "test")
            for row in read_rows(tmp_path / "out", split)
            for caption in row["captions"]
        ]
        needed = tokenizer.count_tokens(captions)
        assert manifest.tokenizer.max_length == 4
        assert manifest.tokenizer.longest_caption == max(needed)
        assert (
            manifest.tokenizer.num_cut == manifest.problems["cut"].num == sum(num > 4 for num in needed) > 0
        )
        first = json.loads((tmp_path / "out" / "problems.jsonl").read_text().splitlines()[0])
        assert first["kind"] == "cut"
        assert re.fullmatch(r"\d+ tokens, 4 fit", first["detail"])

    def test_the_card_tells_what_was_met(
        self, colours: list[SourcePair], listed: Callable, tmp_path: Path, encode: Callable[..., bytes]
    ):
        turned = encode(Image.new("CMYK", (20, 20)), "JPEG")
        build(listed([*colours, SourcePair("print.jpg", turned, ("In print",))]), tmp_path / "out")
        card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert "| image has the colours of print, CMYK | converted to RGB | 1 |" in card
        assert "(contact_sheet.png)" in card
        assert "split: test, path: data/test-*.parquet" in card

    def test_nothing_to_report(self, built: Path):
        assert (built / "problems.jsonl").read_bytes() == b""
        assert "Nothing was wrong" in (built / "README.md").read_text(encoding="utf-8")

    def test_the_contact_sheet_shows_training_pairs_chosen_by_the_seed(
        self, colours: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        shown: list[list[str]] = []

        def draw_sheet(images: np.ndarray, captions: Any) -> Image.Image:
            assert images.shape == (len(captions), 16, 16, 3)
            shown.append(list(captions))
            return contact_sheet(images, captions)

        for number, (pairs, seed) in enumerate(((colours, 0), (colours[::-1], 0), (colours, 1))):
            config = CaptionedImagesConfig(image_size=16, seed=seed, test_share=0.1)
            out = tmp_path / str(number)
            build_captioned_images(listed(pairs), out, config, draw_sheet=draw_sheet)
            train = {
                caption for row in read_rows(out, "train") if row["image"] for caption in row["captions"]
            }
            assert set(shown[-1]) <= train
            assert len(shown[-1]) == min(
                SHEET_PAIRS,
                40 - sum(bool(row["image"] and row["captions"]) for row in read_rows(out, "test")),
            )
        assert shown[0] == shown[1] != shown[2]

    def test_progress(self, colours: list[SourcePair], listed: Callable, tmp_path: Path):
        tasks = []

        class Recording:
            @contextmanager
            def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
                now_done = done

                def advance(count: int = 1, note: str = "") -> None:
                    nonlocal now_done
                    now_done += count

                yield advance
                tasks.append((description, total, now_done, unit))

            def say(self, text: str) -> None:
                raise AssertionError(text)

        manifest = build(listed(colours), tmp_path / "out", progress=Recording())
        nums = {split: counts.num_rows for split, counts in manifest.splits.items()}
        assert tasks == [
            ("read images", 69, 69, "images"),
            ("write train split", nums["train"], nums["train"], "images"),
            ("write test split", nums["test"], nums["test"], "images"),
        ]


class TestSameInputSameBytes:
    def test_whatever_the_number_of_processes(
        self, built: Path, colours: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        build(listed(colours), tmp_path / "again", num_processes=2)
        assert files_of(tmp_path / "again") == files_of(built)

    def test_shards_hold_what_one_file_would(
        self,
        built: Path,
        colours: list[SourcePair],
        listed: Callable,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.setattr(shards, "SHARD_SIZE", 20)
        monkeypatch.setattr(shards, "ROW_GROUP_SIZE", 8)
        manifest = build(listed(colours), tmp_path / "sharded")
        assert manifest == from_json(Manifest, (built / "manifest.json").read_bytes(), "manifest")
        total = -(-manifest.splits["train"].num_rows // 20)
        assert total > 1
        names = sorted(path.name for path in (tmp_path / "sharded" / "data").glob("train-*"))
        assert names == [f"train-{number:05}-of-{total:05}.parquet" for number in range(total)]
        assert read_rows(tmp_path / "sharded", "train") == read_rows(built, "train")
        one, other = (PairDataset.from_parquet(folder, "train") for folder in (built, tmp_path / "sharded"))
        assert one.images.equal(other.images)

    def test_every_layout_gives_the_same_images_and_captions(
        self, written: Any, examples: list[Any], listed: Callable, tmp_path: Path
    ):
        plain = [SourcePair(example.name, example.png, example.captions) for example in examples]
        expected = build(listed(plain), tmp_path / "plain")
        manifest = build(open_source(str(written.path), AskedColumns()), tmp_path / "out")
        assert manifest.splits == expected.splits
        assert manifest.tokenizer == expected.tokenizer
        assert manifest.problems == {}

    def test_the_order_of_the_source_does_not_move_images(
        self, built: Path, colours: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        build(listed(colours[::-1]), tmp_path / "out")
        for split in ("train", "test"):
            assert sorted(map(str, read_rows(tmp_path / "out", split))) == sorted(
                map(str, read_rows(built, split))
            )


class TestRefused:
    def test_strict_leaves_nothing_behind(self, colours: list[SourcePair], listed: Callable, tmp_path: Path):
        pairs = [*colours, SourcePair("half.png", colours[0].image[:50], ("x",))]  # type: ignore[index]
        strict = CaptionedImagesConfig(image_size=16, strict=True)
        with pytest.raises(
            MxqvaeError, match=r"half\.png: image is damaged .*; fix it, or leave out --strict"
        ):
            build(listed(pairs), tmp_path / "out", strict)
        assert not list(tmp_path.iterdir())
        assert build(listed(colours), tmp_path / "out", strict).tokenizer.num_cut == 0
        short = CaptionedImagesConfig(image_size=16, strict=True, max_length=3)
        with pytest.raises(MxqvaeError, match=r"caption is longer than .* \(\d+ tokens, 3 fit\)"):
            build(listed(colours), tmp_path / "short", short)

    def test_strict_cuts_no_caption_of_any_split(
        self, colours: list[SourcePair], listed: Callable, tmp_path: Path
    ):
        long = "A test caption with many more words than any of those that are for training."
        whole = [pair._replace(split="train") for pair in colours if pair.image and pair.captions]
        pairs = [*whole[1:], whole[0]._replace(captions=(long,), split="test")]
        strict = CaptionedImagesConfig(image_size=16, strict=True)
        counts = build(listed(pairs), tmp_path / "out", strict).tokenizer
        assert counts.num_cut == 0
        assert counts.max_length >= counts.longest_caption > 16

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            ([], "a list: nothing can be used; there is nothing in it"),
            (
                [SourcePair("a.png", b"x", ("a",)), SourcePair("b.png", b"y", ("",))],
                r"nothing can be used; image is damaged .* 2 times \(a\.png\), caption is empty 1 times",
            ),
        ],
    )
    def test_nothing_of_use(self, pairs: list[SourcePair], message: str, listed: Callable, tmp_path: Path):
        with pytest.raises(MxqvaeError, match=message):
            build(listed(pairs), tmp_path / "out")
        assert not list(tmp_path.iterdir())

    def test_halves_that_never_meet(self, colours: list[SourcePair], listed: Callable, tmp_path: Path):
        images = [pair._replace(captions=()) for pair in colours if pair.image]
        alone = [pair for pair in colours if pair.image is None]
        whole = colours[1]._replace(split="test")
        for pairs, message in (
            (
                images,
                r"no training image has a caption \(\d\d images without caption such as \d+\.png\); name ",
            ),
            (
                alone,
                r"no training image .* \(\d captions without image such as alone \d\); name both files alike",
            ),
            ([*images, *alone], r"no training image .* \(\d\d images .*, \d captions without image such as "),
            (
                [whole, *images, *alone],
                r"no training image has a caption .*; name both files alike",
            ),
        ):
            with pytest.raises(MxqvaeError, match=message):
                build(listed(pairs), tmp_path / "out")
            assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_a_build_that_stops_halfway_leaves_nothing(
        self, error: type[BaseException], colours: list[SourcePair], tmp_path: Path
    ):
        class Breaking:
            layout = "breaking"

            def count(self) -> int:
                return 1

            def __iter__(self) -> Iterator[SourcePair]:
                yield from colours
                raise error

        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        for num_processes in (1, 2):
            with pytest.raises(error):
                build(Breaking(), tmp_path / "out", overwrite=True, num_processes=num_processes)
            assert files_of(tmp_path) == {"out/mine.txt": b"mine"}


@pytest.mark.parametrize(
    "wrong", [{"image_size": 7}, {"test_share": 1.0}, {"test_share": -0.1}, {"seed": -1}, {"max_length": 1}]
)
def test_impossible_settings_are_named(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CaptionedImagesConfig(**wrong)
