from pathlib import Path

import pytest

from mxqvae.output_file import new_output_file


def test_the_file_takes_the_place_of_an_older_one(tmp_path: Path):
    path = tmp_path / "new folder" / "file.txt"
    for text in ("old", "new"):
        with new_output_file(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path, stop: type[BaseException]):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half() -> None:
        with new_output_file(path) as partial:
            partial.write_text("half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
