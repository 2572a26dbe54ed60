"""`datasets.load_dataset` opens local folders as it opens the hub's, so that nothing here needs a network."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxqvae.data.captioned_images import hub
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.hub import HubDataset
from mxqvae.errors import MxqvaeError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_all_splits_are_streamed(tmp_path: Path, examples: list[Any], image_bytes: Callable):
    for split, some in (("train", examples[:8]), ("test", examples[8:])):
        folder = tmp_path / "set" / split
        folder.mkdir(parents=True)
        for example in some:
            (folder / example.name).write_bytes(example.png)
        lines = [json.dumps({"file_name": e.name, "captions": e.captions}) for e in some]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    source = HubDataset(str(tmp_path / "set"), AskedColumns())
    pairs = list(source)
    assert [pair.captions for pair in pairs] == [example.captions for example in examples]
    assert [image_bytes(pair) for pair in pairs] == [example.png for example in examples]
    assert pairs[0].name.startswith("train, row 0")
    assert pairs[-1].name.startswith("test, row 3")
    assert [pair.split for pair in pairs] == ["train"] * 8 + ["test"] * 4
    assert source.count() in (0, 12)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        MxqvaeError, match=r"user/pets: no such file or folder; a data set on Hugging Face .*'mxqvae\[hub\]'"
    ):
        HubDataset("user/pets", AskedColumns())


def test_a_name_that_is_not_there(tmp_path: Path):
    with pytest.raises(
        MxqvaeError, match=r"nobody/nothing: no such file or folder, nor .*; check the name and the network"
    ):
        HubDataset("nobody/nothing", AskedColumns())


def test_several_configurations(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "a.jsonl").write_text(json.dumps({"image": "1.png", "caption": name}))
    files = "".join(f"- config_name: {name}\n  data_files: {name}/*\n" for name in ("one", "two"))
    (tmp_path / "set" / "README.md").write_text(f"---\nconfigs:\n{files}---\n")
    path = str(tmp_path / "set")
    with pytest.raises(MxqvaeError, match=r"Please pick one among .*'one', 'two'.*; give it as .*:CONFIG"):
        HubDataset(path, AskedColumns())
    assert [pair.captions for pair in HubDataset(f"{path}:two", AskedColumns())] == [("two",)]


def test_an_error_while_reading_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": "1.png", "caption": "a"}))
    source = HubDataset(str(tmp_path), AskedColumns())

    def stop(*_: Any) -> None:
        raise TimeoutError("timed out\nmore")

    monkeypatch.setattr(hub, "pair_of_row", stop)
    with pytest.raises(MxqvaeError, match=r"data set .*: reading stopped \(timed out\); check the network"):
        list(source)
