from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives.coco import CARD, open_coco
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet


def test_images_have_their_captions_and_splits(coco_archives: Path, drawings: list):
    with open_coco(coco_archives) as source:
        pairs = list(source)
        assert source.count() == 12
    assert [pair.image for pair in pairs] == [drawing.jpeg for drawing in drawings]
    assert [pair.captions for pair in pairs] == [drawing.captions[:5] for drawing in drawings]
    assert [pair.split for pair in pairs] == ["train"] * 8 + ["test"] * 4
    assert (pairs[0].name, pairs[-1].name) == ("train2017/000000000090.jpg", "val2017/000000000087.jpg")


def test_what_is_unpacked_is_the_same_set(coco_archives: Path, unpack: Callable[[Path], Path]):
    unpacked = unpack(coco_archives)
    # Many keep the images in a folder of their own.
    (unpacked / "images").mkdir()
    (unpacked / "val2017").rename(unpacked / "images" / "val2017")
    manifests = []
    for archives in (coco_archives, unpacked):
        out = archives.with_name(f"built from {archives.name}")
        with open_coco(archives) as source:
            config = CaptionedImagesConfig(image_size=32)
            manifests.append(
                build_captioned_images(source, out, config, draw_sheet=contact_sheet, card_text=CARD)
            )
    assert manifests[0] == manifests[1]
    card = " ".join((out / "README.md").read_text().split())
    assert "CC BY 4.0. The images come from Flickr, and each has a licence of its own" in card


def test_an_archive_that_is_missing(coco_archives: Path):
    (coco_archives / "val2017.zip").unlink()
    with (
        pytest.raises(MxqvaeError, match=r"lacks val2017\.zip or its folder val2017/ "),
        open_coco(coco_archives),
    ):
        pass


def test_a_list_that_is_missing_or_damaged(coco_archives: Path, unpack: Callable[[Path], Path]):
    unpacked = unpack(coco_archives)
    path = unpacked / "annotations" / "captions_val2017.json"
    path.write_text("{}")
    message = r"annotations/captions_val2017\.json: not a COCO captions file"
    with pytest.raises(MxqvaeError, match=message), open_coco(unpacked):
        pass
    path.unlink()
    with pytest.raises(MxqvaeError, match=r"annotations lacks captions_val2017\.json"), open_coco(unpacked):
        pass
