from pathlib import Path

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


def test_hidden_files_are_passed_over(tmp_path: Path):
    for name in (".thumb.png", "._1.png", "1.png", "__MACOSX/1.png", ".git/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, *_ in read(tmp_path)] == ["1.png"]
