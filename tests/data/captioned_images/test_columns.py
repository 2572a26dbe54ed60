import pytest

from mxqvae.data.captioned_images.columns import AskedColumns, find_columns
from mxqvae.errors import MxqvaeError


@pytest.mark.parametrize(
    ("names", "image", "captions"),
    [
        (["file_name", "text"], "file_name", ("text",)),
        (["path", "image", "title", "captions"], "image", ("captions",)),
        (
            ["image", "caption_10", "caption_0", "caption_2"],
            "image",
            ("caption_0", "caption_2", "caption_10"),
        ),
        (["image", "caption_0", "caption"], "image", ("caption",)),
        (["File_Name", "Caption"], "File_Name", ("Caption",)),
        (["Image", "image", "TEXT", "Caption", "caption"], "image", ("caption",)),
    ],
)
def test_known_names(names: list[str], image: str, captions: tuple[str, ...]):
    assert find_columns(names, AskedColumns(), "table")[:2] == (image, captions)


def test_asked_names_go_first():
    names = ["image", "thumb", "caption", "alt", "id", "part"]
    asked = AskedColumns("thumb", "alt", "id", "part")
    assert find_columns(names, asked, "table") == ("thumb", ("alt",), "id", "part")
    with pytest.raises(MxqvaeError, match="table: no column 'x'; choose --caption-column from image, thumb"):
        find_columns(names, AskedColumns(caption="x"), "table")


def test_published_splits():
    columns = find_columns(["image", "caption", "part"], AskedColumns(split="part"), "table")
    assert columns.split_of({"part": "val2017"}, "row 3") == "validation"
    assert columns._replace(split=None).split_of({"part": "val2017"}, "row 3") is None
    for row in ({"part": None}, {"part": ""}, {"part": "x"}, {}):
        with pytest.raises(MxqvaeError, match=r"row 3, column part: unknown split .*; write train, valid"):
            columns.split_of(row, "row 3")


def test_cells():
    columns = find_columns(["image", "caption_0", "caption_1", "who"], AskedColumns(group="who"), "table")
    assert columns.captions_of(
        {"caption_0": "a", "caption_1": ["b", None, {"raw": "c"}], "who": 0}, "row"
    ) == (
        "a",
        "b",
        "c",
    )
    assert columns.group_of({"who": 0}) == "0"
    assert columns.group_of({"who": ""}) is None
