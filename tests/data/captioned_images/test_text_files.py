from pathlib import Path

import pytest

from mxqvae.data.captioned_images.text_files import TextFiles


def read(folder: Path) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(pair.name, pair.image is not None, pair.captions) for pair in TextFiles(folder)]


def test_halves_and_shared_names(tmp_path: Path):
    for name in ("a.jpg", "a.PNG", "a-b.jpg", "lonely.webp", "LICENSE.txt", "other.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "a-b.txt").write_text("three\n")
    (tmp_path / "words.TXT").write_text("four\n")
    (tmp_path / "a-b.json").write_text("{}")
    assert sorted(read(tmp_path)) == [
        ("a-b.jpg", True, ("three",)),
        ("a.PNG", True, ("one", "two")),
        ("a.jpg", True, ("one", "two")),
        ("lonely.webp", True, ()),
        ("words.TXT", False, ("four",)),
    ]
    assert TextFiles(tmp_path).count() == 4


def test_same_name_in_two_folders(tmp_path: Path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
        (tmp_path / folder / "1.txt").write_text(folder)
    assert read(tmp_path) == [("x/1.png", True, ("x",)), ("y/1.png", True, ("y",))]


def test_folders_tell_splits(tmp_path: Path):
    write(
        tmp_path,
        "train/a/1.png",
        "train/a/1.txt",
        "test/2.png",
        "test/texts/2.txt",
        "test/3.txt",
        "notes.txt",
    )
    assert {pair.name: pair.split for pair in TextFiles(tmp_path)} == {
        "notes.txt": None,
        "test/2.png": "test",
        "test/3.txt": "test",
        "train/a/1.png": "train",
    }
    write(tmp_path, "4.png")
    assert {pair.split for pair in TextFiles(tmp_path)} == {None}


def test_hidden_files_are_passed_over(tmp_path: Path):
    for name in (".thumb.png", "._1.png", "1.png", "__MACOSX/1.png", ".git/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, *_ in read(tmp_path)] == ["1.png"]


def write(folder: Path, *names: str) -> Path:
    """Files that hold their own names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_text_may_have_the_whole_name_of_its_image(tmp_path: Path):
    write(tmp_path, "1.png", "1.png.txt", "2.JPG", "2.JPG.TXT", "3.png", "v1.0.txt")
    assert read(tmp_path) == [
        ("1.png", True, ("1.png.txt",)),
        ("2.JPG", True, ("2.JPG.TXT",)),
        ("3.png", True, ()),
        ("v1.0.txt", False, ("v1.0.txt",)),
    ]


@pytest.mark.parametrize("text", ["caf\xe9.txt", "caf\xe9.png.txt", "texts/caf\xe9.txt"])
def test_two_spellings_of_one_name_meet(tmp_path: Path, text: str):
    write(tmp_path, "cafe\u0301.png", text)
    assert read(tmp_path) == [("cafe\u0301.png", True, (text,))]


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("images/1.png", "captions/1.txt"),
        ("images/1.png", "captions/1.png.txt"),
        ("1.png", "captions/1.txt"),
        ("images/1.png", "1.txt"),
        ("train/images/1.png", "train/captions/1.txt"),
        ("images/train/1.png", "captions/train/1.txt"),
    ],
)
def test_halves_in_two_folders_of_one_place_meet(tmp_path: Path, image: str, text: str):
    write(tmp_path, image, text, image.replace("1", "2"), text.replace("1", "3"))
    found = read(tmp_path)
    assert (image, True, (text,)) in found
    assert (image.replace("1", "2"), True, ()) in found
    assert (text.replace("1", "3"), False, (text.replace("1", "3"),)) in found
    assert len(found) == 3


def test_splits_of_one_stem_keep_their_halves(tmp_path: Path):
    parts = ("train", "test")
    write(tmp_path, *(f"{part}/{half}" for part in parts for half in ("images/1.png", "captions/1.txt")))
    assert sorted(read(tmp_path)) == [
        (f"{part}/images/1.png", True, (f"{part}/captions/1.txt",)) for part in sorted(parts)
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("images/1.png", "masks/1.png", "captions/1.txt"),  # of which image?
        ("images/1.png", "english/1.txt", "german/1.txt"),
        ("train/images/1.png", "test/captions/1.txt"),
        ("1.png", "a/b/1.txt"),
    ],
)
def test_halves_of_which_it_is_not_clear_that_they_meet(tmp_path: Path, names: tuple[str, ...]):
    write(tmp_path, *names)
    assert sorted(read(tmp_path)) == sorted(
        (name, name.endswith(".png"), () if name.endswith(".png") else (name,)) for name in names
    )


def test_what_lies_beside_goes_before_what_lies_elsewhere(tmp_path: Path):
    write(tmp_path, "images/1.png", "images/1.txt", "captions/1.txt")
    assert sorted(read(tmp_path)) == [
        ("captions/1.txt", False, ("captions/1.txt",)),
        ("images/1.png", True, ("images/1.txt",)),
    ]


def test_a_text_with_an_image_s_whole_name_speaks_of_it_alone(tmp_path: Path):
    write(tmp_path, "1.jpg", "1.png", "1.png.txt", "1.jpg.txt", "1.txt")
    assert read(tmp_path) == [
        ("1.jpg", True, ("1.txt", "1.jpg.txt")),
        ("1.png", True, ("1.txt", "1.png.txt")),
    ]


def test_what_is_alone_in_a_folder_of_pairs_meets_nothing_elsewhere(tmp_path: Path):
    write(tmp_path, "cats/1.jpg", "cats/1.txt", "cats/2.jpg", "dogs/1.jpg", "dogs/1.txt", "dogs/2.txt")
    assert ("cats/2.jpg", True, ()) in read(tmp_path)
    assert ("dogs/2.txt", False, ("dogs/2.txt",)) in read(tmp_path)
