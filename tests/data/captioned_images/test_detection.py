import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.detection import open_source
from mxqvae.data.captioned_images.listed_tars import ListedTars
from mxqvae.data.captioned_images.metadata_file import MetadataFiles
from mxqvae.data.captioned_images.parquet_files import ParquetFiles
from mxqvae.data.captioned_images.tar_shards import TarShards
from mxqvae.data.captioned_images.text_files import TextFiles
from mxqvae.errors import MxqvaeError

NOTHING_ASKED = AskedColumns()


def test_every_layout_reads_as_the_same_pairs(written: Any, examples: list[Any], image_bytes: Callable):
    source = open_source(str(written.path), NOTHING_ASKED)
    pairs = list(source)
    assert source.layout == written.layout
    assert [pair.captions for pair in pairs] == [example.captions for example in examples]
    assert [image_bytes(pair) for pair in pairs] == [example.png for example in examples]
    assert len(pairs) <= source.count() <= sum(len(example.captions) for example in examples)
    assert list(source) == pairs


def test_names_tell_where_a_pair_is(written: Any, examples: list[Any]):
    pairs = list(open_source(str(written.path), NOTHING_ASKED))
    assert len({pair.name for pair in pairs}) == len(pairs)
    if "binary" not in str(written.path) and written.path.suffix != ".parquet":
        for pair, example in zip(pairs, examples, strict=True):
            assert example.name.removesuffix(".png") in pair.name


def test_images_elsewhere(tmp_path: Path, examples: list[Any], image_bytes: Callable):
    (tmp_path / "images").mkdir()
    for example in examples:
        (tmp_path / "images" / example.name).write_bytes(example.png)
    lines = [json.dumps({"file_name": e.name, "caption": e.captions[0]}) for e in examples]
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "a.jsonl"
    path.write_text("\n".join(lines))
    pairs = list(open_source(str(path), NOTHING_ASKED, tmp_path / "images"))
    assert [image_bytes(pair) for pair in pairs] == [example.png for example in examples]
    with pytest.raises(MxqvaeError, match=r"--images .*nowhere: no such folder"):
        open_source(str(path), NOTHING_ASKED, tmp_path / "nowhere")


def test_a_list_that_names_no_images_gives_way_to_text_files(write_layout: Callable[[str], Path]):
    folder = write_layout("text files")
    for header in ("image_name,label", "id,words"):
        (folder / "labels.csv").write_text(f"{header}\n1,one\n")
        assert isinstance(open_source(str(folder), NOTHING_ASKED), TextFiles)
    (folder / "more.jsonl").write_text('{"id": 1}\n')
    assert isinstance(open_source(str(folder), NOTHING_ASKED), TextFiles)
    # One whose columns are named is meant.
    (folder / "more.jsonl").unlink()
    assert isinstance(open_source(str(folder), AskedColumns(image="id")), MetadataFiles)
    # Beside texts that speak of no image, it is asked for its columns.
    for text in folder.glob("*/*.txt"):
        text.rename(text.with_stem(f"no {text.stem}"))
    assert isinstance(open_source(str(folder), NOTHING_ASKED), MetadataFiles)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_lists_in_folders_hide_nothing(tmp_path: Path):
    files = {"train/metadata.jsonl": '{"file_name": "1.png", "text": "a"}'}
    files |= {"test/metadata.csv": "file_name,text\n2.png,b\n", ".cache/metadata.csv": ""}
    source = open_source(str(write(tmp_path / "a", files)), NOTHING_ASKED)
    assert [(pair.captions, pair.split) for pair in source] == [(("b",), "test"), (("a",), "train")]
    write(tmp_path / "a", {"cats/1.png": "", "cats/1.txt": "c"})
    message = r"a: holds test/metadata\.csv, and images with texts elsewhere, such as cats/1\.png; give the"
    with pytest.raises(MxqvaeError, match=message):
        open_source(str(tmp_path / "a"), NOTHING_ASKED)
    hidden = (".cache/metadata.csv", "._a.csv", "._a.parquet", "._a.tar")
    folder = write(tmp_path / "b", {"1.png": "", "1.txt": "a"} | dict.fromkeys(hidden, ""))
    assert isinstance(open_source(str(folder), NOTHING_ASKED), TextFiles)


def test_tables_of_img2dataset_give_way_to_what_it_fetched(write_layout: Callable[[str], Path]):
    folder = write_layout("tar with text")
    pq.write_table(pa.table({"url": ["x"], "caption": ["a"], "key": ["0"]}), folder / "00000.parquet")
    assert isinstance(open_source(str(folder), NOTHING_ASKED), TarShards)
    for path in folder.glob("*.tar"):
        path.unlink()
    assert isinstance(open_source(str(folder), NOTHING_ASKED), ParquetFiles)
    write(folder, {"00000/0.jpg": "", "00000/0.txt": "a"})
    assert isinstance(open_source(str(folder), NOTHING_ASKED), TextFiles)
    assert isinstance(open_source(str(folder), AskedColumns(image="url")), ParquetFiles)


def test_a_text_file_of_a_captions_name_is_no_list(write_layout: Callable[[str], Path]):
    folder = write_layout("text files")
    for text in ("One, two.\n", "image,words\n", "", "a" * 200_000):
        (folder / "captions.txt").write_text(text)
        assert isinstance(open_source(str(folder), NOTHING_ASKED), TextFiles)
    (folder / "captions.txt").write_text("image,words\n")
    assert isinstance(open_source(str(folder), AskedColumns(caption="words")), MetadataFiles)


def test_archives_of_two_kinds_are_told_apart(write_layout: Callable[[str], Path], tmp_path: Path):
    path = write_layout("jsonl in tar")
    assert isinstance(open_source(str(path.parent), NOTHING_ASKED), ListedTars)
    with tarfile.open(path.with_name("other.tar"), "w"):
        pass
    message = r"other\.tar: no metadata\.jsonl, metadata\.csv, captions\.jsonl in it, as others have; move it"
    with pytest.raises(MxqvaeError, match=message):
        open_source(str(path.parent), NOTHING_ASKED)
    packed = tmp_path / "packed.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(MxqvaeError, match=r"packed\.tar\.gz: compressed, and holds digits/captions\.jsonl; "):
        list(open_source(str(packed), NOTHING_ASKED))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, r"no captioned images in it; looked for metadata\.jsonl, .*\*\.tar and images"),
        (lambda folder: (folder / "notes.txt").touch(), "no captioned images"),
        (
            lambda folder: [(folder / name).touch() for name in ("b.jsonl", "a.csv")],
            r"holds a\.csv, b\.jsonl; give one of them",
        ),
    ],
)
def test_a_folder_that_fits_nothing(tmp_path: Path, make: Callable[[Path], Any], message: str):
    make(tmp_path)
    with pytest.raises(MxqvaeError, match=message):
        open_source(str(tmp_path), NOTHING_ASKED)


def test_paths_that_fit_nothing(tmp_path: Path):
    (tmp_path / "pairs.docx").touch()
    with pytest.raises(MxqvaeError, match=r"no known layout; give a folder, or a file that ends in \.jsonl"):
        open_source(str(tmp_path / "pairs.docx"), NOTHING_ASKED)
    with pytest.raises(MxqvaeError, match="no such file or folder"):
        open_source(str(tmp_path / "nowhere"), NOTHING_ASKED)


@pytest.mark.parametrize("layout", ["text files", "COCO"])
@pytest.mark.parametrize("asked", [AskedColumns(split="part"), AskedColumns(caption="alt")])
def test_layouts_without_columns_refuse_their_names(
    write_layout: Callable[[str], Path], layout: str, asked: AskedColumns
):
    with pytest.raises(MxqvaeError, match=r"--(split-column part|caption-column alt): .* have no columns"):
        open_source(str(write_layout(layout)), asked)


@pytest.mark.parametrize("layout", ["text files", "tar with text", "tar.gz with json", "jsonl in tar"])
def test_layouts_that_hold_their_images_refuse_a_folder_of_them(
    write_layout: Callable[[str], Path], tmp_path: Path, layout: str
):
    with pytest.raises(MxqvaeError, match=r"--images .*: goes with a list, .*, not with .*; leave it out"):
        open_source(str(write_layout(layout)), NOTHING_ASKED, tmp_path)
    with pytest.raises(MxqvaeError, match="not with data sets of the hub; leave it out"):
        open_source("user/pets", NOTHING_ASKED, tmp_path)
