import json
from pathlib import Path

import pytest

from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.metadata_file import MetadataFiles
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.captioned_images.source import FileRange, SourcePair
from mxqvae.data.captioned_images.square_image import make_square
from mxqvae.errors import MxqvaeError

NOTHING_ASKED = AskedColumns()


def read(path: Path, asked: AskedColumns = NOTHING_ASKED) -> list[SourcePair]:
    return list(MetadataFiles([path], asked))


def test_lines_of_one_image_are_put_together_where_they_meet(tmp_path: Path):
    path = tmp_path / "metadata.csv"
    path.write_text("file_name,caption\na.png,one\na.png,two\nb.png,three\na.png,four\n")
    pairs = read(path)
    assert [(pair.name, pair.captions) for pair in pairs] == [
        ("a.png", ("one", "two")),
        ("b.png", ("three",)),
        ("a.png", ("four",)),
    ]
    assert pairs[0].image == FileRange(str(tmp_path / "a.png"))


def test_halves_that_are_not_known(tmp_path: Path):
    path = tmp_path / "metadata.jsonl"
    rows = [
        {"file_name": "a.png", "captions": []},
        {"file_name": None, "captions": ["alone"]},
        {"file_name": "", "captions": ["alone too"]},
        {"file_name": "b.png"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert [(pair.name, pair.image is None, pair.captions) for pair in read(path)] == [
        ("a.png", False, ()),
        ("metadata.jsonl, line 2", True, ("alone",)),
        ("metadata.jsonl, line 3", True, ("alone too",)),
        ("b.png", False, ()),
    ]


def test_columns_are_those_of_all_lines(tmp_path: Path):
    path = tmp_path / "metadata.jsonl"
    rows = [{"file_name": "a.png"}, {"caption": "alone"}, {"file_name": "b.png", "caption": "b", "id": 5}]
    path.write_text("\n".join(map(json.dumps, rows)))
    expected = [("a.png", ()), ("metadata.jsonl, line 2", ("alone",)), ("b.png", ("b",))]
    assert [(pair.name, pair.captions) for pair in read(path)] == expected
    pairs = read(path, AskedColumns(caption="caption", group="id"))
    assert [(pair.name, pair.captions) for pair in pairs] == expected
    assert [pair.group for pair in pairs] == [None, None, "5"]
    path.write_text('{"file_name": "a.png"}\n{"file_name": "b.png", "words": "b"}\n')
    with pytest.raises(
        MxqvaeError, match=r"no caption column found among file_name, words; .*--caption-column"
    ):
        read(path)


def test_an_empty_list_is_no_pairs(tmp_path: Path):
    for name, text in (("a.jsonl", "\n"), ("a.csv", "file_name,text\n"), ("b.csv", "")):
        (tmp_path / name).write_text(text)
        assert read(tmp_path / name) == []


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("\0", "\0"),
        ("\0.png", "\0.png"),
        ("metadata.jsonl/1", "metadata.jsonl/1"),
        ("\ud800.png", "\ufffd.png"),
        ("x" * 300, "x" * 300),
        ("no", "no"),
    ],
    ids=range(6),
)
def test_names_that_no_file_can_have_are_missing(tmp_path: Path, name: str, printed: str):
    path = tmp_path / "metadata.jsonl"
    path.write_text(json.dumps({"file_name": name, "caption": "a"}))
    (pair,) = read(path)
    assert (pair.name, pair.captions) == (printed, ("a",))
    assert isinstance(pair.image, FileRange)
    with pytest.raises(FileNotFoundError):
        pair.image.read()
    assert make_square(pair.image, 8).problems == ((ProblemKind.MISSING, ""),)


def test_groups(tmp_path: Path):
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file": "a.png", "text": "x", "id": 7}\n{"file": "b.png", "text": "y", "id": null}\n')
    assert [pair.group for pair in read(path, AskedColumns(group="id"))] == ["7", None]
    assert [pair.group for pair in read(path)] == [None, None]


@pytest.mark.parametrize("role", ["group", "split"])
def test_lines_of_one_image_agree(tmp_path: Path, role: str):
    path = tmp_path / "a.csv"
    asked = AskedColumns(**{role: "part"})
    path.write_text("file,text,part\n1.png,a,train\n1.png,b,train\n1.png,c,\n2.png,d,test\n")
    assert [pair.captions for pair in read(path, asked)] == [("a", "b", "c"), ("d",)]
    path.write_text("file,text,part\n1.png,a,train\n1.png,b,test\n")
    message = r"a\.csv, line 3: part is 'test', but 'train' in line 2 of the same image; make them equal"
    with pytest.raises(MxqvaeError, match=message):
        read(path, asked)


def test_folders_tell_splits(tmp_path: Path):
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metadata.csv").write_text("file_name,text,part\n1.png,a,test\n,b,test\n")
    paths = sorted(tmp_path.glob("*/metadata.csv"))
    assert [pair.split for pair in MetadataFiles(paths, NOTHING_ASKED)] == ["train"] * 2 + ["validation"] * 2
    assert {pair.split for pair in MetadataFiles(paths, AskedColumns(split="part"))} == {"test"}
    assert {pair.split for pair in MetadataFiles(paths[:1], NOTHING_ASKED)} == {None}


def test_names_of_images_tell_splits(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("file,text,part\n./train/x/1.png,a,test\nval2017\\2.png,b,test\n,c,test\n")
    assert [pair.split for pair in read(path)] == ["train", "validation", None]
    assert [pair.split for pair in read(path, AskedColumns(split="part"))] == ["test"] * 3
    for another in ("3.png", "cats/3.png"):
        path.write_text(f"file,text\ntrain/1.png,a\ntest/2.png,b\n{another},c\n")
        assert {pair.split for pair in read(path)} == {None}


def test_bytes_that_are_not_utf8_and_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbffile_name;x,text\nb.png,caf\xe9\n")
    (pair,) = read(tmp_path / "a.csv", AskedColumns(image="file_name;x"))
    assert pair.captions == ("caf\udce9",)
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"file": "\xe9.png", "text": "caf\xe9"}\n')
    (pair,) = read(tmp_path / "a.jsonl")
    assert pair.captions == ("caf\udce9",)
    assert pair.name == "�.png"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_unicode_text_of_excel(tmp_path: Path, encoding: str):
    text = "\ufefffile_name\tcaption\r\n\u00e9.png\tcaf\u00e9\r\n"
    (tmp_path / "a.tsv").write_bytes(text.encode(encoding))
    assert [(pair.name, pair.captions) for pair in read(tmp_path / "a.tsv")] == [
        ("\u00e9.png", ("caf\u00e9",))
    ]


def test_images_beside_a_list_that_does_not_name_them_are_told(tmp_path: Path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "images/b.png", "images/c.png", "d.jpg", ".hidden.png", "notes.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "metadata.csv").write_text("file_name,caption\n./a.png,one\nb.png,two\nmissing.png,three\n")
    pairs = read(tmp_path / "metadata.csv")
    assert [pair.name for pair in pairs if pair.is_named] == ["./a.png", "b.png", "missing.png"]
    assert [pair for pair in pairs if not pair.is_named] == [
        SourcePair(name, None, is_named=False) for name in ("d.jpg", "images/c.png")
    ]


def test_images_elsewhere_may_be_for_other_lists(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "elsewhere" / name).touch()
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,one\n")
    pairs = list(MetadataFiles([tmp_path / "metadata.csv"], NOTHING_ASKED, tmp_path / "elsewhere"))
    assert [pair.name for pair in pairs] == ["a.png"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_list_says_itself_what_separates_its_cells(tmp_path: Path, separator: str):
    text = separator.join(["file", "caption"]) + "\n" + separator.join(["a.png", '"one, two; three"']) + "\n"
    (tmp_path / "a.csv").write_text(text)
    assert [pair.captions for pair in read(tmp_path / "a.csv")] == [("one, two; three",)]


def test_captions_are_not_cut_at_a_comma(tmp_path: Path):
    (tmp_path / "a.csv").write_text("file,caption\na.png,one,,\nb.png,one, two\n")
    with pytest.raises(MxqvaeError, match=r"a\.csv, line 3: more cells than columns; put double quotes"):
        list(read(tmp_path / "a.csv"))


def test_quotes_that_nothing_closes_swallow_no_rows(tmp_path: Path):
    path = tmp_path / "a.csv"
    for text, message in (
        ('a.png,one\nb.png,"A cat\nc.png,A bird\n', r"line 3: unexpected end of data; fix the line \(quotes"),
        ('a.png,"A 5" bird"\n', r"line 2: ',' expected after '\"'; fix the line"),
        ('a.png,"one" \n', r"line 2: ',' expected after '\"'; fix the line"),
    ):
        path.write_text(f"file,caption\n{text}")
        with pytest.raises(MxqvaeError, match=rf"a\.csv, {message}"):
            read(path)
    path.write_text('file,caption\na.png,A 5" bird\nb.png,"A ""cat"""\n')
    assert [pair.captions for pair in read(path)] == [('A 5" bird',), ('A "cat"',)]


def test_flickr30k_as_published(tmp_path: Path):
    path = tmp_path / "results.csv"
    rows = ("1.jpg| 0| A dog, brown .", '1.jpg| 1| "Jump" , it says .', "2.jpg| 0| Two cats .")
    path.write_text("\n".join(["image_name| comment_number| comment", *rows]))
    assert [(pair.name, tuple(map(str.strip, pair.captions))) for pair in read(path)] == [
        ("1.jpg", ("A dog, brown .", '"Jump" , it says .')),
        ("2.jpg", ("Two cats .",)),
    ]


def test_the_sheet_of_a_sample_folder_is_no_pair(tmp_path: Path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "caption": "one"}\n')
    (tmp_path / "below").mkdir()
    for name in ("a.png", "b.png", "contact_sheet.png", "below/contact_sheet.png"):
        (tmp_path / name).touch()
    pairs = [(pair.name, pair.is_named) for pair in read(tmp_path / "metadata.jsonl")]
    assert pairs == [("a.png", True), ("b.png", False), ("below/contact_sheet.png", False)]


def test_tabs(tmp_path: Path):
    (tmp_path / "a.tsv").write_text("file\tcaption\na.png\tone, two\n")
    assert [pair.captions for pair in read(tmp_path / "a.tsv")] == [("one, two",)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"file": "a", "text": "b"}\n{"file"\n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", '{"file": "a", "text": "b"}\n' + "[" * 100_000, r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl, line 1: not a JSON object"),
        (
            "a.jsonl",
            '{"file": 3, "text": "b"}\n',
            "line 1: file is no file name; name another with --image-column",
        ),
        (
            "a.jsonl",
            '{"file": "a", "text": 3}\n',
            "line 1, column text: holds int, not text; .*--caption-column",
        ),
        ("a.csv", "name,text\nx,y\n", "no image column found among name, text; name it with --image-column"),
        ("a.csv", "file,words\nx,y\n", "no caption column found among file, words; .*--caption-column"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(MxqvaeError, match=message):
        read(tmp_path / name)


def test_an_asked_column_that_is_missing(tmp_path: Path):
    (tmp_path / "a.csv").write_text("file,text\nx,y\n")
    for asked in (AskedColumns(image="z"), AskedColumns(caption="z"), AskedColumns(group="z")):
        with pytest.raises(
            MxqvaeError, match=r"no column 'z'; choose --(image|caption|group)-column from file, text"
        ):
            read(tmp_path / "a.csv", asked)
