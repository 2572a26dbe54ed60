from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.caption_grammar import KINDS, Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.data.split_file import PAIR_SCHEMA, SplitCount, encode_image, open_split, pair_row

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 6, 3), np.uint8)
SLOTS = [(Slot("upper left", digit, "red"),) for digit in range(7)]
CAPTIONS = [f"The red {digit} is on the top left." for digit in range(7)]
ROWS = [
    pair_row(encode_image(image), caption, slots)
    for image, caption, slots in zip(IMAGES, CAPTIONS, SLOTS, strict=True)
]


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 6]])
def test_a_split_is_what_was_written_however_it_was_cut(tmp_path: Path, cuts: list[int]):
    with open_split(tmp_path, "some") as writer:
        for first, end in zip([0, *cuts], [*cuts, 7], strict=True):
            writer.write(IMAGES[first:end], ROWS[first:end])
    pairs = PairDataset.from_parquet(tmp_path, "some")
    np.testing.assert_array_equal(pairs.images, IMAGES)
    assert (pairs.captions, pairs.slots) == (CAPTIONS, SLOTS)

    whole = SplitCount()
    whole.add(IMAGES, CAPTIONS, ["Quad1"] * 7)
    assert writer.manifest() == whole.manifest()
    assert writer.manifest().num_pairs == 7
    assert writer.manifest().kinds == dict.fromkeys(KINDS, 0) | {"Quad1": 7}


def test_every_pixel_and_every_letter_counts():
    changed = IMAGES.copy()
    changed[6, 3, 5, 2] ^= 1
    manifests = []
    for images, captions in ((IMAGES, CAPTIONS), (changed, CAPTIONS), (IMAGES, [*CAPTIONS[:6], "The"])):
        count = SplitCount()
        count.add(images, captions, ["Quad1"] * 7)
        manifests.append(count.manifest())
    original, other_pixels, other_captions = manifests
    assert original.captions_sha256 == other_pixels.captions_sha256 != other_captions.captions_sha256
    assert original.pixels_sha256 == other_captions.pixels_sha256 != other_pixels.pixels_sha256


def test_a_view_of_the_pixels_is_hashed_like_its_copy():
    manifests = []
    for images in (IMAGES[:, ::-1], IMAGES[:, ::-1].copy()):
        count = SplitCount()
        count.add(images, CAPTIONS, ["Quad1"] * 7)
        manifests.append(count.manifest())
    assert manifests[0] == manifests[1]


def test_further_columns(tmp_path: Path):
    schema = pa.schema([*PAIR_SCHEMA, pa.field("degree", pa.int64())], metadata=PAIR_SCHEMA.metadata)
    with open_split(tmp_path, "some", schema=schema, kinds=("Quad1",)) as writer:
        writer.write(IMAGES, [row | {"degree": 3} for row in ROWS])
    table = pq.read_table(tmp_path / "data" / "some-00000-of-00001.parquet")
    assert table["degree"].to_pylist() == [3] * 7
    assert writer.manifest().kinds == {"Quad1": 7}
