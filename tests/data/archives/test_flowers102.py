import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mxqvae.data.archives import flowers102
from mxqvae.data.archives.flowers102 import CARD, open_flowers102
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet


def test_images_have_their_captions_classes_and_splits(
    flower_archives: Path, drawings: list, image_bytes: Callable
):
    with open_flowers102(flower_archives) as source:
        pairs = list(source)
        assert source.count() == 12
        assert [image_bytes(pair) for pair in pairs] == [drawing.jpeg for drawing in drawings]
    assert [pair.captions for pair in pairs] == [drawing.captions for drawing in drawings]
    assert pairs[-1].captions == ()
    assert [pair.name for pair in pairs[:4]] == [
        "class_00002/image_00001.jpg",
        "class_00003/image_00002.jpg",
        "class_00004/image_00003.jpg",
        "class_00001/image_00004.jpg",
    ]
    assert [pair.split for pair in pairs] == ["train"] * 8 + ["test"] * 4


def test_what_is_unpacked_is_the_same_set(flower_archives: Path, unpack: Callable[[Path], Path]):
    manifests = []
    for archives in (flower_archives, unpack(flower_archives)):
        out = archives.with_name(f"built from {archives.name}")
        with open_flowers102(archives) as source:
            manifests.append(
                build_captioned_images(
                    source,
                    out,
                    CaptionedImagesConfig(image_size=32),
                    draw_sheet=contact_sheet,
                    card_text=CARD,
                )
            )
    assert manifests[0] == manifests[1]
    assert manifests[0].splits["train"].num_captions == 80
    assert manifests[0].splits["test"].num_images_without_caption == 1
    card = " ".join((out / "README.md").read_text().split())
    assert "# Oxford Flower-102 with captions" in card
    assert "for research, not to be passed on" in card
    assert "The set's part `valid` (ten images of each class) is the test split" in card
    data = PairDataset.from_parquet(out, "test")
    assert data.images.shape == (4, 32, 32, 3)
    assert data.captions[-1] == ""


def test_classes_can_be_held_out(flower_archives: Path, tmp_path: Path):
    (tmp_path / "testclasses.txt").write_text("class_00002\nclass_00004\n")
    with open_flowers102(flower_archives, test_classes=tmp_path / "testclasses.txt") as source:
        splits = {pair.name.partition("/")[0]: pair.split for pair in source}
    assert splits == {
        "class_00001": "train",
        "class_00002": "test",
        "class_00003": "train",
        "class_00004": "test",
    }


def test_an_image_that_is_missing_is_found_out_when_it_is_read(
    flower_archives: Path, unpack: Callable[[Path], Path], image_bytes: Callable
):
    unpacked = unpack(flower_archives)
    (unpacked / "jpg" / "image_00005.jpg").unlink()
    with open_flowers102(unpacked) as source, pytest.raises(FileNotFoundError):
        [image_bytes(pair) for pair in source]


def test_the_real_checksums_refuse_the_sample(flower_archives: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    with (
        pytest.raises(MxqvaeError, match="published one is 52808999861908f626f3c1f4e79d11fa"),
        open_flowers102(flower_archives),
    ):
        pass


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"valid": [1]}, r"setid\.mat: no numbers 'trnid' in it"),
        (
            {"trnid": [1], "tstid": [2], "valid": [13]},
            r"setid\.mat: image 13 has no label in .*imagelabels\.mat",
        ),
    ],
)
def test_lists_that_do_not_fit(
    flower_archives: Path, monkeypatch: pytest.MonkeyPatch, numbers: dict, message: str
):
    savemat(flower_archives / "setid.mat", {name: np.array(some) for name, some in numbers.items()})
    monkeypatch.setattr(flowers102, "PARTS", flowers102.PARTS._replace(md5=None))
    with pytest.raises(MxqvaeError, match=message), open_flowers102(flower_archives):
        pass
    (flower_archives / "setid.mat").write_bytes(b"<html>not found</html>")
    with pytest.raises(MxqvaeError, match="put the original there"), open_flowers102(flower_archives):
        pass


def test_without_scipy(flower_archives: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    message = (
        r"imagelabels\.mat is a file of MATLAB, read with scipy; install it: pip install 'mxqvae\[archives\]'"
    )
    with pytest.raises(MxqvaeError, match=message), open_flowers102(flower_archives):
        pass
