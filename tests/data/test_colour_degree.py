import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.config import from_json
from mxqvae.data.colour_degree import ColourDegreeManifest, build_colour_degree_sets
from mxqvae.data.colour_words import colour_of, find_colour_words
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set, split_name
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    (path,) = (folder / "data").glob(f"{split}-*.parquet")
    return pq.read_table(path).to_pylist()


def said(caption: str) -> list[str]:
    return [colour_of(caption[word.start : word.end].lower()) for word in find_colour_words(caption)]


def rewrite(folder: Path, split: str, captions: list[list[str]]) -> None:
    """Give the images of a split other captions."""
    (path,) = (folder / "data").glob(f"{split}-*.parquet")
    table = pq.read_table(path).slice(0, len(captions)).drop_columns(["captions"])
    pq.write_table(table.append_column("captions", pa.array(captions)), path)


@pytest.fixture
def copy(coloured_photos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(coloured_photos, tmp_path / "copy"))


def test_every_pair_is_there_at_every_degree(coloured_photos: Path, colour_degree_sets: Path):
    pairs = PairDataset.from_parquet(coloured_photos, "test").whole()
    assert kinds_in(colour_degree_sets) == ["Quad1", "Quad2", "Quad4"]
    for kind in kinds_in(colour_degree_sets):
        most = degrees_of(kind)[0]
        numbers = [number for number, caption in enumerate(pairs.captions) if len(said(caption)) == most]
        assert numbers
        for degree in degrees_of(kind):
            built = rows(colour_degree_sets, split_name(kind, degree))
            assert [row["pair"] for row in built] == numbers
            assert [row["original_caption"] for row in built] == [pairs.captions[n] for n in numbers]
            assert {(row["kind"], row["degree"]) for row in built} == {(kind, degree)}
            read = read_degree_set(colour_degree_sets, kind, degree)
            assert read.images.equal(pairs.images[pairs.image_numbers[numbers]])
            assert read.captions == [row["caption"] for row in built]


def test_d_colours_of_n_stay_and_the_others_are_others(colour_degree_sets: Path):
    manifest = from_json(
        ColourDegreeManifest, (colour_degree_sets / "manifest.json").read_bytes(), "manifest"
    )
    assert "gray" in manifest.colours  # as the training captions spell it, not "grey"
    for kind in kinds_in(colour_degree_sets):
        for degree in degrees_of(kind):
            for row in rows(colour_degree_sets, split_name(kind, degree)):
                old, new = said(row["original_caption"]), said(row["caption"])
                changed = [
                    number for number, both in enumerate(zip(old, new, strict=True)) if len({*both}) == 2
                ]
                assert changed == row["edited"]
                assert len(changed) == len(old) - degree
                assert {new[number] for number in changed} <= set(map(colour_of, manifest.colours))
                if degree == len(old):
                    assert row["caption"] == row["original_caption"]


def test_a_seed_gives_the_same_sets(coloured_photos: Path, colour_degree_sets: Path, tmp_path: Path):
    again = build_colour_degree_sets(coloured_photos, tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (
        colour_degree_sets / "manifest.json"
    ).read_bytes()
    other = build_colour_degree_sets(coloured_photos, tmp_path / "other", seed=1)
    assert again.splits["quad4_degree4"] == other.splits["quad4_degree4"]
    assert again.splits["quad4_degree0"] != other.splits["quad4_degree0"]


def test_the_library_datasets_opens_them(colour_degree_sets: Path, tmp_path: Path):
    from datasets import load_dataset

    loaded = load_dataset(str(colour_degree_sets), cache_dir=str(tmp_path))
    assert loaded["quad2_degree1"][0]["image"].size == (16, 16)
    assert "Quad1" in (colour_degree_sets / "README.md").read_text()


def test_the_source_is_told(coloured_photos: Path, colour_degree_sets: Path, copy: Path, tmp_path: Path):
    source = json.loads((coloured_photos / "manifest.json").read_text())
    assert json.loads((colour_degree_sets / "manifest.json").read_text())["source"] == source
    (copy / "manifest.json").unlink()
    assert build_colour_degree_sets(copy, tmp_path / "out").source is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("split", "captions", "message"),
        [
            ("train", [["A dog."]], "its training captions name 0 colours, at least 2 are needed"),
            ("train", [["A gray dog.", "A grey cat."]], "its training captions name 1 colours"),
            ("test", [["A dog."]], "no caption of its test split has 1 to 4 colour words"),
        ],
    )
    def test_too_few_colours(
        self, copy: Path, tmp_path: Path, split: str, captions: list[list[str]], message: str
    ):
        rewrite(copy, split, captions)
        with pytest.raises(MxqvaeError, match=message):
            build_colour_degree_sets(copy, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_no_split(self, copy: Path, tmp_path: Path):
        for path in (copy / "data").glob("test-*"):
            path.unlink()
        with pytest.raises(MxqvaeError, match="no split 'test'"):
            build_colour_degree_sets(copy, tmp_path / "out")

    def test_a_damaged_shard(self, copy: Path, tmp_path: Path):
        (path,) = (copy / "data").glob("train-*")
        path.write_bytes(b"PAR1")
        with pytest.raises(MxqvaeError, match="not a readable parquet file"):
            build_colour_degree_sets(copy, tmp_path / "out")

    def test_an_output_folder_that_holds_the_source_or_anything(self, copy: Path, tmp_path: Path):
        with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
            build_colour_degree_sets(copy, copy, overwrite=True)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
        with pytest.raises(MxqvaeError, match="overwrite"):
            build_colour_degree_sets(copy, tmp_path / "out")
