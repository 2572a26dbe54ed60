import json
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.coco_json import CocoJson
from mxqvae.data.captioned_images.source import FileRange
from mxqvae.errors import MxqvaeError

TREE = {
    "images": [{"id": 2, "file_name": "b.jpg"}, {"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"image_id": 1, "caption": "one"}, {"image_id": 1, "caption": "two"}],
}


@pytest.mark.parametrize("place", ["", "val2014", "../val2014", "images", ".."])
def test_images_are_found_in_the_usual_places(tmp_path: Path, place: str):
    path = tmp_path / "coco" / "captions_val2014.json"
    path.parent.mkdir()
    path.write_text(json.dumps(TREE))
    folder = path.parent / place
    folder.mkdir(exist_ok=True)
    (folder / "a.jpg").touch()
    pairs = list(CocoJson(path))
    assert [(pair.name, pair.captions) for pair in pairs] == [("b.jpg", ()), ("a.jpg", ("one", "two"))]
    image = pairs[1].image
    assert isinstance(image, FileRange)
    assert Path(image.path).samefile(folder / "a.jpg")


def test_images_in_a_given_folder(tmp_path: Path):
    (tmp_path / "captions.json").write_text(json.dumps(TREE))
    pairs = CocoJson(tmp_path / "captions.json", tmp_path / "photos")
    assert pairs.count() == 2
    assert next(iter(pairs)).image == FileRange(str(tmp_path / "photos" / "b.jpg"))


def test_folders_in_file_names_tell_splits(tmp_path: Path):
    names = ("train/0.png", "val\\0.png")
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": []}))
    assert [pair.split for pair in CocoJson(tmp_path / "a.json")] == ["train", "validation"]
    (tmp_path / "a.json").write_text(json.dumps(TREE))
    assert {pair.split for pair in CocoJson(tmp_path / "a.json")} == {None}


@pytest.mark.parametrize("caption", [None, float("nan")])
def test_a_gap_is_an_empty_caption(tmp_path: Path, caption: float | None):
    tree = TREE | {"annotations": [{"image_id": 1, "caption": caption}]}
    (tmp_path / "a.json").write_text(json.dumps(tree))
    assert [pair.captions for pair in CocoJson(tmp_path / "a.json")] == [(), ("",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a list, where COCO's captions files have an object; write its entries to a metadata.jsonl"),
        ('"x"', "not a COCO captions file"),
        ('{"images": []}', "no 'annotations'"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
            "a and b have one id, 1; give each its own",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "b"}]}',
            "a caption's image_id is 2, which no image has as its id; add the image to `images`",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": []}]}',
            "no 'caption'",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 3}]}',
            "is no text",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(MxqvaeError, match=message):
        CocoJson(tmp_path / "a.json")
