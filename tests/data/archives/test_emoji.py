import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.archives import emoji
from mxqvae.data.archives.emoji import CARD, open_emoji
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet

SAMPLE = Path(__file__).parents[2] / "assets" / "emoji"
NAMES = {
    "1f600.png": "grinning face",
    "1f34e.png": "red apple",
    "1f40c.png": "snail",
    "2764-fe0f.png": "red heart",  # CLDR spells it without the variation
    "1f1e7-1f1f7.png": "flag: Brazil",
    "1f9d1-200d-1f680.png": "astronaut",
    "1f468-200d-1f469-200d-1f467.png": "family: man, woman, girl",
    "1f468-200d-1f469-200d-1f466.png": "family: man, woman, boy",
}


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    return shutil.copytree(SAMPLE, tmp_path / "unpacked")


@pytest.fixture
def packages(tmp_path: Path, write_archive: Callable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample as npm packs it; its checksums are the published ones."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in ("NOTO", "TWEMOJI", "NAMES", "DERIVED_NAMES"):
        file = getattr(emoji, name)
        root = SAMPLE / file.unpacked
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.*")}
        write_archive(folder / file.name, files)
        digest = hashlib.sha512((folder / file.name).read_bytes()).digest()
        monkeypatch.setattr(emoji, name, file._replace(sha512=base64.b64encode(digest).decode()))
    return folder


def edit(path: Path, change: Callable[[list], list]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def refusal_of(folder: Path) -> str:
    with pytest.raises(MxqvaeError) as refusal, open_emoji(folder):
        pass
    return str(refusal.value)


def test_both_styles_have_the_name_and_the_group(packages: Path, image_bytes: Callable):
    with open_emoji(packages) as source:
        pairs = list(source)
        assert source.count() == 16
        drawing = SAMPLE / emoji.TWEMOJI.name.removesuffix(".tgz") / "package" / "img" / "twitter" / "64"
        assert image_bytes(pairs[-1]) == (drawing / pairs[-1].name.removeprefix("twemoji/")).read_bytes()
    assert {pair.name: pair.captions for pair in pairs} == {
        f"{style}/{file}": (name,) for style in ("noto", "twemoji") for file, name in NAMES.items()
    }
    assert [pair.group for pair in pairs[:8]] == [pair.group for pair in pairs[8:]]
    assert len({pair.group for pair in pairs}) == 8


def test_a_data_set_is_built_whose_splits_share_no_emoji(packages: Path, unpacked: Path, tmp_path: Path):
    manifests = []
    for archives in (packages, unpacked):
        out = tmp_path / f"built from {archives.name}"
        config = CaptionedImagesConfig(image_size=64, test_share=0.4)
        with open_emoji(archives) as source:
            manifests.append(
                build_captioned_images(source, out, config, draw_sheet=contact_sheet, card_text=CARD)
            )
    assert manifests[0] == manifests[1]
    train, test = (PairDataset.from_parquet(out, split) for split in ("train", "test"))
    assert {*train.captions} | {*test.captions} == {*NAMES.values()}
    assert not {*train.captions} & {*test.captions}
    # Twemoji draws both families alike.
    assert (len(train.images), len(test.images)) in ((9, 6), (10, 5), (11, 4), (13, 2))
    card = " ".join((out / "README.md").read_text().split())
    assert "copyright Twitter, Inc. and other contributors, CC BY 4.0" in card
    assert "Splits are dealt by emoji" in card


def test_an_emoji_without_a_drawing_in_one_style_is_left_out(unpacked: Path):
    def without_heart(entries: list) -> list:
        return [entry | {"has_img_twitter": entry["image"] != "2764-fe0f.png"} for entry in entries]

    edit(unpacked / emoji.TWEMOJI.name.removesuffix(".tgz") / "package" / "emoji.json", without_heart)
    with open_emoji(unpacked) as source:
        assert {pair.captions for pair in source} == {(name,) for name in NAMES.values()} - {("red heart",)}


def test_packages_that_do_not_fit_each_other_are_refused(unpacked: Path):
    path = unpacked / emoji.NAMES.name.removesuffix(".tgz") / "package/annotations/en/annotations.json"
    names = json.loads(path.read_text())
    del names["annotations"]["annotations"]["\U0001f40c"]
    path.write_text(json.dumps(names))
    assert "emoji 1F40C has no name in cldr-annotations-full-48.2.0.tgz" in refusal_of(unpacked)
    path.write_text("{")
    assert "annotations/en/annotations.json is damaged (" in refusal_of(unpacked)


def test_an_altered_package_is_refused_by_its_checksum(packages: Path):
    path = packages / emoji.NOTO.name
    path.write_bytes(path.read_bytes()[:-1])
    assert "truncated or altered (SHA-512 " in refusal_of(packages)
