import os
import re
from pathlib import Path

import pytest

from mxqvae.errors import MxqvaeError
from mxqvae.output_folder import (
    check_output_folder,
    check_sources_stay,
    new_output_folder,
    resumed_output_folder,
)


def test_folder_appears_only_when_the_block_ends(tmp_path: Path):
    out = tmp_path / "runs" / "one"
    with new_output_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1"
    assert [path.name for path in out.parent.iterdir()] == ["one"]


def test_folder_has_ordinary_permissions(tmp_path: Path):
    (tmp_path / "plain").mkdir()
    with new_output_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: type[BaseException]):
    def fail() -> None:
        with new_output_folder(tmp_path / "runs" / "one") as folder:
            (folder / "a").write_text("1")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_content_is_refused_and_kept(tmp_path: Path):
    (tmp_path / "old").write_text("1")
    with pytest.raises(MxqvaeError, match=r"is not empty; .* --overwrite"), new_output_folder(tmp_path):
        raise AssertionError("the block must not run")
    assert (tmp_path / "old").read_text() == "1"


def test_content_that_appears_meanwhile_is_kept_and_so_is_what_was_made(tmp_path: Path):
    out = tmp_path / "out"

    def meet_another() -> None:
        with new_output_folder(out) as folder:
            (folder / "ours").write_text("2")
            out.mkdir()
            (out / "another's").write_text("1")

    with pytest.raises(MxqvaeError, match=r"out is not empty; .*; what was made lies in .*\.out\.partial-"):
        meet_another()
    assert sorted(path.name for path in tmp_path.rglob("*"))[1:] == ["another's", "ours", "out"]


def test_overwrite_replaces_everything_at_the_end(tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("1")
    with new_output_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("2")
        assert (out / "old").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_overwrite_keeps_the_old_content_after_an_error(tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("1")
    with pytest.raises(KeyboardInterrupt), new_output_folder(out, overwrite=True):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_overwrite_keeps_the_old_content_when_the_new_one_cannot_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("1")
    rename = Path.rename

    def fail_for_partial(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError("disk gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_partial)
    with (
        pytest.raises(MxqvaeError, match=r"disk gone; what was made lies in .*\.out\.partial-"),
        new_output_folder(out, overwrite=True) as folder,
    ):
        (folder / "new").write_text("2")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [folder.name, "new", "old", "out"]


def test_a_mount_point_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path)
    with (
        pytest.raises(MxqvaeError, match="is a mount point, which cannot be replaced; choose a folder in it"),
        new_output_folder(tmp_path),
    ):
        raise AssertionError("the block must not run")
    check_output_folder(tmp_path / "inside")


def test_a_file_is_refused(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(MxqvaeError, match=re.escape(f"{file} is not a folder")):
        check_output_folder(file, overwrite=True)


@pytest.mark.parametrize("place", ["cwd", "home"])
def test_working_and_home_folder_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    inside = tmp_path / "inside"
    inside.mkdir()
    if place == "cwd":
        monkeypatch.chdir(inside)
    else:
        monkeypatch.setenv("HOME", os.fspath(inside))
    with pytest.raises(MxqvaeError, match=r"holds (the working|your home) folder"):
        check_output_folder(tmp_path, overwrite=True)


class TestResumed:
    def test_what_was_written_before_a_stop_is_there_again(self, tmp_path: Path):
        out, identity = tmp_path / "runs" / "one", {"seed": 3, "parts": ("a", 1)}

        def stop() -> None:
            with resumed_output_folder(out, "record.json", identity) as folder:
                (folder / "a").write_text("1")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stop()
        assert not out.exists()
        with resumed_output_folder(out, "record.json", identity) as folder:
            assert (folder / "a").read_text() == "1"
        assert sorted(path.name for path in out.iterdir()) == ["a", "record.json"]
        assert list(out.parent.iterdir()) == [out]

    def test_old_content_stays_until_the_end(self, tmp_path: Path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "old").write_text("1")
        with pytest.raises(MxqvaeError, match="is not empty"), resumed_output_folder(out, "record.json", {}):
            raise AssertionError("the block must not run")
        with resumed_output_folder(out, "record.json", {}, overwrite=True):
            assert (out / "old").exists()
        assert [path.name for path in out.iterdir()] == ["record.json"]

    def test_another_s_work_is_refused_and_kept(self, tmp_path: Path):
        out, unfinished = tmp_path / "out", tmp_path / ".out.unfinished"

        def begin(**identity: object) -> None:
            with resumed_output_folder(out, "record.json", identity) as folder:
                (folder / "a").write_text("1")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            begin(seed=1, pairs="a")
        with pytest.raises(
            MxqvaeError, match="unfinished holds the unfinished work of a command with other seed"
        ):
            begin(seed=2, pairs="a")
        assert (unfinished / "a").exists()
        (unfinished / "record.json").write_text("{")
        with pytest.raises(MxqvaeError, match=r"record\.json is damaged; remove .*\.out\.unfinished"):
            begin(seed=1, pairs="a")


def test_sources_are_not_written_over(tmp_path: Path):
    (tmp_path / "data" / "in").mkdir(parents=True)
    check_sources_stay(tmp_path / "out", tmp_path / "data", tmp_path / "missing", None, "user/name")
    for out in ("data", "data/in/.."):
        with pytest.raises(MxqvaeError, match=r"holds .*in, which is to be read; choose another"):
            check_sources_stay(tmp_path / out, tmp_path / "data" / "in")
