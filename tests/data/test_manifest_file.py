from pathlib import Path

import pytest

from mxqvae.data.manifest_file import read_manifest


def test_whatever_a_data_set_says_of_itself_is_read(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"name": "mine", "number": 7}')
    assert read_manifest(tmp_path) == {"name": "mine", "number": 7}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff"])
def test_a_folder_without_a_readable_one_has_none(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    assert read_manifest(tmp_path) is None
