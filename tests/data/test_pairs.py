import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mxqvae.data.batch import to_floats
from mxqvae.data.caption_grammar import Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError

Write = Callable[..., Path]


def encode(pixels: np.ndarray, image_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def some_pixels(num: int, size: tuple[int, int] = (6, 8), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, *size, 3), np.uint8)


def some_columns(num: int = 3) -> dict[str, Any]:
    return {
        "image": [{"bytes": encode(pixels), "path": None} for pixels in some_pixels(num)],
        "caption": [f"Caption {i}." for i in range(num)],
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one shard from its columns; gives the data set's folder."""

    def write_shard(columns: dict[str, Any], name: str = "train-00000-of-00001.parquet") -> Path:
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "data" / name)
        return tmp_path

    return write_shard


class TestReading:
    def test_pixels_and_captions(self, write: Write):
        pairs = PairDataset.from_parquet(write(some_columns()), "train")
        assert len(pairs) == 3
        assert pairs.images.dtype == torch.uint8
        np.testing.assert_array_equal(pairs.images.numpy(), some_pixels(3))
        assert pairs.captions == ["Caption 0.", "Caption 1.", "Caption 2."]
        assert pairs.slots is None

    def test_slots(self, write: Write):
        slots = [
            [{"digit": 3, "position": "centre", "colour": "red"}],
            [],
            [
                {"digit": 0, "position": "upper left", "colour": "red"},
                {"digit": 9, "position": "lower right", "colour": "blue"},
            ],
        ]
        pairs = PairDataset.from_parquet(write(some_columns() | {"slots": slots}), "train")
        assert pairs.slots == [
            (Slot("centre", 3, "red"),),
            (),
            (Slot("upper left", 0, "red"), Slot("lower right", 9, "blue")),
        ]

    def test_shards_in_order(self, write: Write):
        columns = some_columns(30)
        for shard in (2, 0, 1):
            rows = slice(shard * 10, shard * 10 + 10)
            part = {name: values[rows] for name, values in columns.items()}
            write(part, f"train-{shard:05}-of-00003.parquet")
        folder = write(some_columns(1), "test-00000-of-00001.parquet")
        pairs = PairDataset.from_parquet(folder, "train")
        assert pairs.captions == columns["caption"]
        np.testing.assert_array_equal(pairs.images.numpy(), some_pixels(30))
        assert len(PairDataset.from_parquet(folder, "test")) == 1

    def test_rows_at_a_time(self, write: Write, monkeypatch: pytest.MonkeyPatch):
        """So that encoded and decoded images are never all in memory together."""
        columns: dict[str, Any] = some_columns(7) | {
            "slots": [[{"digit": 1, "position": "centre", "colour": "red"}]] * 7
        }
        folder = write(columns)
        whole = PairDataset.from_parquet(folder, "train")
        monkeypatch.setattr("mxqvae.data.pairs.IMAGES_AT_A_TIME", 3)
        pairs = PairDataset.from_parquet(folder, "train")
        assert pairs.images.equal(whole.images)
        assert (pairs.captions, pairs.slots) == (whole.captions, whole.slots)
        columns["image"][5]["bytes"] = b"no image"
        with pytest.raises(MxqvaeError, match=r"parquet, row 5: image damaged"):
            PairDataset.from_parquet(write(columns), "train")
        with pytest.raises(MxqvaeError, match=r"parquet, row 4: caption is empty"):
            PairDataset.from_parquet(write(some_columns(7) | {"caption": [*"abcd", None, *"ef"]}), "train")

    def test_other_formats_and_modes_become_rgb(self, write: Write):
        grey = some_pixels(1)[0, :, :, 0]
        transparent = np.concatenate([some_pixels(1)[0], np.full((6, 8, 1), 255, np.uint8)], -1)
        files = [encode(grey), encode(transparent), encode(grey, "JPEG")]
        columns = {"image": [{"bytes": file} for file in files], "caption": ["a", "b", "c"]}
        images = PairDataset.from_parquet(write(columns), "train").images.numpy()
        np.testing.assert_array_equal(images[0], np.stack([grey] * 3, -1))
        np.testing.assert_array_equal(images[1], some_pixels(1)[0])

    def test_what_is_transparent_is_white(self, write: Write):
        clear = np.concatenate([some_pixels(1)[0], np.zeros((6, 8, 1), np.uint8)], -1)
        columns = {"image": [{"bytes": encode(clear)}], "caption": ["a"]}
        assert (PairDataset.from_parquet(write(columns), "train").images == 255).all()

    def test_what_datasets_writes(self, tmp_path: Path):
        import datasets

        features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("large_string")})
        rows = {"image": [Image.fromarray(p) for p in some_pixels(3)], "caption": ["a", "b", "c"]}
        (tmp_path / "data").mkdir()
        written = datasets.Dataset.from_dict(rows, features=features)
        written.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
        pairs = PairDataset.from_parquet(tmp_path, "train")
        np.testing.assert_array_equal(pairs.images.numpy(), some_pixels(3))
        assert pairs.captions == ["a", "b", "c"]

    def test_caption_mnist(self, caption_mnist_small: Path):
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        assert pairs.images.shape == (60, 64, 64, 3)
        assert len(pairs) == len(pairs.captions) == len(pairs.slots or []) == 60


class TestSeveralCaptions:
    def columns(self) -> dict[str, Any]:
        images = [{"bytes": encode(pixels), "path": "some.png"} for pixels in some_pixels(3)]
        return {
            "image": [images[0], images[1], None, images[2]],
            "captions": [["A cat.", "A pet."], [], ["No image."], ["A dog.", ""]],
        }

    def test_each_makes_a_pair(self, write: Write):
        pairs = PairDataset.from_parquet(write(self.columns()), "train")
        assert pairs.captions == ["A cat.", "A pet.", "", "No image.", "A dog."]
        assert pairs.image_numbers.tolist() == [0, 0, 1, -1, 2]
        np.testing.assert_array_equal(pairs.images.numpy(), some_pixels(3))

    def test_images_of_pairs(self, write: Write):
        pairs = PairDataset.from_parquet(write(self.columns()), "train")
        images = pairs.images_of(torch.tensor([4, 3, 1]))
        assert images.shape == (3, 3, 6, 8)
        assert images[0].equal(to_floats(pairs.images[2:3])[0])
        assert images[1].isnan().all()
        assert images[2].equal(to_floats(pairs.images[:1])[0])

    def test_whole_pairs(self, write: Write):
        pairs = PairDataset.from_parquet(write(self.columns()), "train").whole()
        assert pairs.captions == ["A cat.", "A pet.", "A dog."]
        assert pairs.image_numbers.tolist() == [0, 0, 2]

    def test_spaces_alone_are_no_caption(self, write: Write):
        columns = self.columns() | {"captions": [[" ", "A cat."], ["\n"], [""], ["A dog."]]}
        pairs = PairDataset.from_parquet(write(columns), "train")
        assert pairs.captions == ["A cat.", "", "", "A dog."]
        assert PairDataset(pairs.images, [" "] * 3).whole().captions == []

    def test_whole_pairs_keep_their_slots(self, caption_mnist_small: Path):
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        assert pairs.whole().slots == pairs.slots

    def test_no_list_of_captions(self, write: Write):
        columns = self.columns() | {"captions": [["a"], None, ["b"], ["c"]]}
        with pytest.raises(MxqvaeError, match="row 1: captions is empty; fill it in or leave the row out"):
            PairDataset.from_parquet(write(columns), "train")

    def test_no_images_at_all(self, write: Write):
        columns = {"image": pa.array([None], self.image_type()), "captions": [["a"]]}
        with pytest.raises(MxqvaeError, match="split 'train' holds no images; add some"):
            PairDataset.from_parquet(write(columns), "train")

    def image_type(self) -> pa.DataType:
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})


class TestForModels:
    def test_the_shape_is_the_tokenizer_s_and_the_images(self):
        captions = ["a red bird", "a bird"]
        pairs = PairDataset(torch.from_numpy(some_pixels(2, (16, 16))), captions)
        tokenizer = CaptionTokenizer.train(captions)
        shape = pairs.shape(tokenizer)
        assert shape == (tokenizer.vocab_size, tokenizer.max_length, 16)

    def test_images_that_are_not_square_are_refused(self):
        pairs = PairDataset(torch.from_numpy(some_pixels(1, (6, 8))), ["a bird"])
        with pytest.raises(MxqvaeError, match="images of 8 x 6 pixels; make them square"):
            pairs.shape(CaptionTokenizer.train(["a bird"]))

    def test_the_digest_is_of_pixels_captions_and_which_belong_together(self):
        images, captions = torch.from_numpy(some_pixels(2)), ["a", "b"]
        pairs = PairDataset(images, captions)
        others = [
            PairDataset(images.flip(0), captions),
            PairDataset(images, ["a", "c"]),
            PairDataset(images, captions, image_numbers=torch.tensor([1, 0])),
        ]
        assert PairDataset(images.clone(), list(captions)).digest() == pairs.digest()
        assert len({pairs.digest(), *(other.digest() for other in others)}) == 4

    def test_the_digest_does_not_depend_on_how_many_images_are_hashed_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        pairs = PairDataset(torch.from_numpy(some_pixels(5)), list("abcde"))
        at_once = pairs.digest()
        monkeypatch.setattr("mxqvae.data.pairs.IMAGES_AT_A_TIME", 2)
        assert pairs.digest() == at_once
        # Checkpoints and codes of earlier versions name it.
        content = some_pixels(5).tobytes() + np.arange(5).tobytes() + b'["a", "b", "c", "d", "e"]'
        assert at_once == hashlib.sha256(content).hexdigest()

    def test_mirrored_images_have_left_and_right_exchanged(self):
        pairs = PairDataset(torch.from_numpy(some_pixels(3)), ["a", "b", "c"])
        rows = torch.tensor([2, 0])
        mirrored = pairs.mirrored_images_of(rows)
        assert mirrored.equal(to_floats(torch.from_numpy(some_pixels(3)[[2, 0], :, ::-1].copy())))


class TestFiles:
    def test_no_folder(self, tmp_path: Path):
        with pytest.raises(MxqvaeError, match="nowhere: no such folder; check it, or build it"):
            PairDataset.from_parquet(tmp_path / "nowhere", "train")

    def test_no_data_in_it(self, tmp_path: Path):
        with pytest.raises(MxqvaeError, match=r"no data/SPLIT-00000-of-00001\.parquet in it; give a folder"):
            PairDataset.from_parquet(tmp_path, "train")

    def test_no_such_split(self, caption_mnist_small: Path):
        with pytest.raises(MxqvaeError, match="no split 'validation'; it has test, train"):
            PairDataset.from_parquet(caption_mnist_small, "validation")

    def test_a_missing_shard_is_named(self, write: Write):
        folder = write(some_columns(), "train-00001-of-00002.parquet")
        with pytest.raises(MxqvaeError, match=r"train-00000-of-00002\.parquet: shard is missing"):
            PairDataset.from_parquet(folder, "train")

    def test_shards_of_two_builds_do_not_mix(self, write: Write):
        write(some_columns(), "train-00000-of-00001.parquet")
        folder = write(some_columns(), "train-00000-of-00002.parquet")
        with pytest.raises(MxqvaeError, match=r"train-00001-of-00002\.parquet: shard is missing"):
            PairDataset.from_parquet(folder, "train")

    @pytest.mark.parametrize("size", [0, 3, 1000, -1])
    def test_a_truncated_shard_is_named(self, size: int, caption_mnist_small: Path, tmp_path: Path):
        folder = Path(shutil.copytree(caption_mnist_small, tmp_path / "copy"))
        path = folder / "data" / "train-00000-of-00001.parquet"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(
            MxqvaeError, match=r"train-00000-of-00001\.parquet: not a readable parquet"
        ) as refusal:
            PairDataset.from_parquet(folder, "train")
        assert "\n" not in str(refusal.value)

    def test_an_empty_split(self, write: Write):
        schema = pa.schema({"image": pa.struct({"bytes": pa.binary()}), "caption": pa.string()})
        folder = write(dict(zip(schema.names, schema.empty_table().columns, strict=True)))
        with pytest.raises(MxqvaeError, match="split 'train' holds no pairs"):
            PairDataset.from_parquet(folder, "train")


class TestColumns:
    @pytest.mark.parametrize("missing", ["image", "caption"])
    def test_a_missing_column_is_named(self, missing: str, write: Write):
        columns = {**some_columns(), "text": ["a", "b", "c"]}
        del columns[missing]
        with pytest.raises(MxqvaeError, match=rf"no column {missing} \(it has \w+, text\)"):
            PairDataset.from_parquet(write(columns), "train")

    def test_both_missing(self, write: Write):
        with pytest.raises(MxqvaeError, match=r"no column image and caption \(it has text\)"):
            PairDataset.from_parquet(write({"text": ["a"]}), "train")

    @pytest.mark.parametrize(
        ("name", "values", "wanted"),
        [
            ("image", ["a.png", "b.png", "c.png"], "structs with an encoded image"),
            ("image", [{"path": "a.png"}] * 3, "structs with an encoded image"),
            ("image", [{"bytes": "text"}] * 3, "structs with an encoded image"),
            ("caption", [1, 2, 3], "strings"),
            ("caption", [["a"], ["b"], ["c"]], "strings"),
            ("slots", ["a", "b", "c"], "lists of structs"),
            ("slots", [[1], [2], [3]], "lists of structs"),
            ("slots", [[{"digit": 1}]] * 3, "lists of structs"),
        ],
        ids=range(8),
    )
    def test_a_column_of_the_wrong_type_is_named(self, name: str, values: list, wanted: str, write: Write):
        with pytest.raises(MxqvaeError, match=f"column {name} must hold {wanted}"):
            PairDataset.from_parquet(write(some_columns() | {name: values}), "train")

    @pytest.mark.parametrize("name", ["image", "caption", "slots"])
    def test_an_empty_row_is_named(self, name: str, write: Write):
        columns = some_columns() | {"slots": [[{"digit": 1, "position": "centre", "colour": "red"}]] * 3}
        columns[name] = [*columns[name][:2], None]
        with pytest.raises(MxqvaeError, match=rf"parquet, row 2: {name} is empty"):
            PairDataset.from_parquet(write(columns), "train")


class TestImages:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda png: None,
            lambda png: b"",
            lambda png: b"no image",
            lambda png: png[:20],
            lambda png: png[: len(png) // 2],
            lambda png: png[:60] + b"????????" + png[68:],
        ],
        ids=["none", "empty", "text", "header only", "half", "altered"],
    )
    def test_a_broken_image_is_named(self, damage: Callable[[bytes], bytes | None], write: Write):
        columns = some_columns()
        columns["image"][1]["bytes"] = damage(columns["image"][1]["bytes"])
        with pytest.raises(MxqvaeError, match=r"train-00000-of-00001\.parquet, row 1: image damaged"):
            PairDataset.from_parquet(write(columns), "train")

    def test_rows_are_counted_in_their_shard(self, write: Write):
        columns = some_columns()
        write(columns, "train-00000-of-00002.parquet")
        columns["image"][2]["bytes"] = b"no image"
        folder = write(columns, "train-00001-of-00002.parquet")
        with pytest.raises(MxqvaeError, match=r"train-00001-of-00002\.parquet, row 2:"):
            PairDataset.from_parquet(folder, "train")

    def test_an_image_of_another_size_is_named(self, write: Write):
        columns = some_columns()
        columns["image"][2]["bytes"] = encode(some_pixels(1, (9, 5))[0])
        with pytest.raises(MxqvaeError, match="row 2: image of 5 x 9 pixels, the first has 8 x 6"):
            PairDataset.from_parquet(write(columns), "train")


def test_parts_must_be_equal_in_number():
    images = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="equal in number"):
        PairDataset(images, ["one"])
    with pytest.raises(ValueError, match="equal in number"):
        PairDataset(images, ["one", "two"], [()])


FOUR_IMAGES = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 2, 2, 3)


class TestOnePerImage:
    def test_each_image_stands_once_with_its_first_caption(self):
        numbers = torch.tensor([2, 0, 2, 1, 0])
        captions = ["c", "a", "c again", "b", "a again"]
        pairs = PairDataset(FOUR_IMAGES, captions, image_numbers=numbers).one_per_image()
        assert pairs.captions == ["c", "a", "b"]
        assert pairs.image_numbers.tolist() == [0, 1, 2]
        assert pairs.images[:, 0, 0, 0].tolist() == [2, 0, 1]

    def test_captions_without_an_image_are_left_out_and_images_without_a_caption_stay(self):
        numbers = torch.tensor([-1, 3, -1, 1])
        pairs = PairDataset(FOUR_IMAGES, ["x", "", "y", "b"], image_numbers=numbers).one_per_image()
        assert pairs.captions == ["", "b"]
        assert pairs.images[:, 0, 0, 0].tolist() == [3, 1]

    def test_pairs_of_one_caption_each_stay_as_they_are(self):
        pairs = PairDataset(FOUR_IMAGES, list("abcd")).one_per_image()
        assert pairs.captions == list("abcd")
        assert pairs.images.equal(FOUR_IMAGES)

    def test_slots_stay_with_their_images(self):
        slots = [(Slot("centre", digit, "red"),) for digit in range(3)]
        numbers = torch.tensor([2, 2, 0])
        pairs = PairDataset(FOUR_IMAGES, list("abc"), slots, image_numbers=numbers).one_per_image()
        assert pairs.slots == [slots[0], slots[2]]
