import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mxqvae.data.archives.cub200 import CARD, open_cub200
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.data.captioned_images.source import Box
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet


def test_images_have_their_captions_boxes_and_splits(
    cub_archives: Path, drawings: list, image_bytes: Callable
):
    with open_cub200(cub_archives) as source:
        pairs = list(source)
        assert source.count() == 12
        assert [image_bytes(pair) for pair in pairs] == [drawing.jpeg for drawing in drawings]
    assert [pair.captions for pair in pairs] == [drawing.captions for drawing in drawings]
    assert pairs[4].name == "002.A_duck/duck.jpg"
    assert {pair.box for pair in pairs} == {Box(30, 4, 64, 64)}
    assert [pair.split for pair in pairs] == ["train", "train", "test"] * 4


def test_images_are_cropped_to_the_bird(cub_archives: Path, drawings: list, unpack: Callable[[Path], Path]):
    manifests = []
    for archives in (cub_archives, unpack(cub_archives)):
        out = archives.with_name(f"built from {archives.name}")
        with open_cub200(archives) as source:
            config = CaptionedImagesConfig(image_size=64)
            manifests.append(
                build_captioned_images(source, out, config, draw_sheet=contact_sheet, card_text=CARD)
            )
    assert manifests[0] == manifests[1]
    built = PairDataset.from_parquet(out, "test").images.numpy()
    for pixels, drawing in zip(built, drawings[2::3], strict=True):
        photo = np.asarray(Image.open(io.BytesIO(drawing.jpeg)))
        np.testing.assert_array_equal(pixels, photo[4:68, 30:94])
    card = " ".join((out / "README.md").read_text().split())
    assert "for non-commercial research and education" in card
    assert (
        "cropped to the square around the bird's bounding box, as far as the image reaches, and resized"
        in card
    )
    assert "Splits are those of `train_test_split.txt`." in card


def test_species_can_be_held_out(cub_archives: Path, tmp_path: Path):
    (tmp_path / "testclasses.txt").write_text("002.A_duck\n")
    with open_cub200(cub_archives, test_classes=tmp_path / "testclasses.txt") as source:
        assert [pair.split for pair in source] == ["train"] * 4 + ["test"] * 4 + ["train"] * 4


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.txt", "1 a.jpg\n2\n", r"images\.txt, line 2: not an image's number and 1 more"),
        ("train_test_split.txt", "one 1\n", r"train_test_split\.txt, line 1: not an image's number"),
        (
            "bounding_boxes.txt",
            "1 2.0 3.0 4.0\n",
            r"bounding_boxes\.txt, line 1: not an image's number and 4",
        ),
        (
            "bounding_boxes.txt",
            "1 2.0 3.0 4.0 x\n",
            r"bounding_boxes\.txt: could not convert string to float",
        ),
    ],
)
def test_damaged_lists(
    cub_archives: Path, unpack: Callable[[Path], Path], name: str, text: str, message: str
):
    unpacked = unpack(cub_archives)
    (unpacked / "CUB_200_2011" / name).write_text(text)
    with pytest.raises(MxqvaeError, match=f"{message}.*put the original there"), open_cub200(unpacked):
        pass
    (unpacked / "CUB_200_2011" / name).unlink()
    with pytest.raises(MxqvaeError, match=f"CUB_200_2011 lacks {name}"), open_cub200(unpacked):
        pass
