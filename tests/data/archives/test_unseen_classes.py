from pathlib import Path

import pytest

from mxqvae.data.archives.unseen_classes import read_test_classes
from mxqvae.errors import MxqvaeError


@pytest.mark.parametrize("text", ["class_00003\nclass_00010\n", "003.A_bird_7\n\n010.B\n", "3\r\n10"])
def test_spellings(tmp_path: Path, text: str):
    (tmp_path / "testclasses.txt").write_text(text)
    assert read_test_classes(tmp_path / "testclasses.txt", range(1, 12)) == {3, 10}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class_00001\nclass_00012\n", "line 2: no class 'class_00012'; fix the line"),
        ("roses\n", "line 1: no class 'roses'"),
        ("\n", "lists no classes"),
        ("1\n2\n", "lists all classes; list some of them"),
    ],
)
def test_lists_of_no_use(tmp_path: Path, text: str, message: str):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(MxqvaeError, match=rf"--test-classes .*classes\.txt(:|,) {message}"):
        read_test_classes(tmp_path / "classes.txt", (1, 2))


def test_unreadable_lists(tmp_path: Path):
    with pytest.raises(MxqvaeError, match=r"--test-classes .*: No such file or directory; give a list"):
        read_test_classes(tmp_path / "nowhere.txt", (1, 2))
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe1")
    with pytest.raises(MxqvaeError, match="not a text file"):
        read_test_classes(tmp_path / "classes.txt", (1, 2))
