import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mxqvae.errors import MxqvaeError
from mxqvae.provenance import current_commit, describe_hardware
from mxqvae.reproduction import work_folder
from mxqvae.reproduction.work_folder import RECORDS_FILE, Step, WorkFolder


@pytest.fixture
def calls() -> list[str]:
    """Names of the steps that ran, in order."""
    return []


@pytest.fixture
def step(tmp_path: Path, calls: list[str]) -> Callable[..., Step]:
    """A step that writes a file and says that it took two seconds."""

    def make(name: str, **settings: object) -> Step:
        made = tmp_path / "made" / name

        def run() -> float:
            calls.append(name)
            made.parent.mkdir(exist_ok=True)
            made.write_text(json.dumps(settings))
            return 2.0

        return Step(name=name, cost="data", made=made, settings=settings, run=run, minutes=1)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> WorkFolder:
    """An empty work folder."""
    return WorkFolder(tmp_path / "work")


def test_steps_run_once_and_in_order(folder: WorkFolder, step: Callable[..., Step], calls: list[str]):
    steps = [step("first", seed=0), step("second", sizes=(1, 2))]
    assert not folder.is_done(steps[0])
    folder.execute(steps)
    folder.execute(steps)
    assert calls == ["first", "second"]
    assert all(map(folder.is_done, steps))
    assert folder.seconds(steps[0]) == 2.0
    assert folder.commits(steps) == current_commit()


def test_what_is_gone_is_made_again(folder: WorkFolder, step: Callable[..., Step], calls: list[str]):
    steps = [step("first"), step("second")]
    folder.execute(steps)
    steps[1].made.unlink()
    folder.execute(steps)
    assert calls == ["first", "second", "second"]


class TestSources:
    """A chain of three, each made from the one before."""

    @pytest.fixture
    def chain(self, step: Callable[..., Step], tmp_path: Path) -> list[Step]:
        first = step("first")
        second = dataclasses.replace(step("second"), made_from=(first,), run_folder=tmp_path / "run")
        return [first, second, dataclasses.replace(step("third"), made_from=(second,))]

    def test_what_was_made_from_a_step_that_ran_again_is_made_again(
        self, folder: WorkFolder, chain: list[Step], calls: list[str]
    ):
        folder.execute(chain)
        assert all(map(folder.is_done, chain))
        chain[0].made.unlink()
        assert not any(map(folder.is_done, chain))
        folder.execute(chain)
        folder.execute(chain)
        assert calls == ["first", "second", "third"] * 2

    def test_a_row_beside_stays_as_it_is(self, folder: WorkFolder, chain: list[Step], calls: list[str]):
        folder.execute(chain)
        chain[1].made.unlink()
        folder.execute(chain)
        assert calls == ["first", "second", "third", "second", "third"]

    def test_an_outdated_run_is_deleted_and_a_stopped_one_goes_on(
        self, folder: WorkFolder, chain: list[Step], tmp_path: Path
    ):
        folder.execute(chain)
        run = tmp_path / "run"
        run.mkdir()
        (run / "of the old first").touch()
        chain[0].made.unlink()

        def stop() -> float:
            assert not (run / "of the old first").exists()
            run.mkdir(exist_ok=True)
            (run / "of the new first").touch()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            folder.execute([chain[0], dataclasses.replace(chain[1], run=stop)])
        folder.execute(chain)
        assert (run / "of the new first").exists()


def test_a_file_of_another_run_vouches_for_nothing(
    folder: WorkFolder, step: Callable[..., Step], calls: list[str], tmp_path: Path
):
    first = step("first")
    folder.execute([first])
    published = tmp_path / "published"
    published.write_text("somebody else's")
    elsewhere = dataclasses.replace(first, made=published)
    assert folder.is_done(first)
    assert not folder.is_done(elsewhere)
    folder.execute([elsewhere])
    assert calls == ["first", "first"]


def test_a_work_folder_can_be_moved(step: Callable[..., Step], tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    first = step("first")
    WorkFolder(old).execute([dataclasses.replace(first, made=old / RECORDS_FILE)])
    old.rename(new)
    assert WorkFolder(new).is_done(dataclasses.replace(first, made=new / RECORDS_FILE))


@pytest.mark.parametrize("content", ["[]", '{"x": {}}', '{"x": 1}', "1"])
def test_records_of_another_form_are_damaged(folder: WorkFolder, step: Callable[..., Step], content: str):
    folder.folder.mkdir()
    (folder.folder / RECORDS_FILE).write_text(content)
    with pytest.raises(MxqvaeError, match=r"steps.json: damaged \("):
        folder.is_done(step("first"))


def test_what_no_record_vouches_for_is_made_again(
    folder: WorkFolder, step: Callable[..., Step], calls: list[str]
):
    first = step("first")
    first.run()  # and then the machine stopped, before the record was written
    folder.execute([first])
    assert calls == ["first", "first"]


def test_other_settings_are_refused_before_anything_runs(
    folder: WorkFolder, step: Callable[..., Step], calls: list[str]
):
    folder.execute([step("last", training={"num_steps": 100, "seed": 0})])
    steps = [step("first"), step("last", training={"num_steps": 200, "seed": 0})]
    with pytest.raises(
        MxqvaeError, match=r"last was made with other settings \(training.num_steps 100, now 200\)"
    ):
        folder.execute(steps)
    assert calls == ["last"]


def test_a_step_that_fails_leaves_no_record(folder: WorkFolder, step: Callable[..., Step]):
    def stop() -> float:
        raise KeyboardInterrupt

    good, bad = step("good"), step("bad")
    with pytest.raises(KeyboardInterrupt):
        folder.execute([good, Step(name="bad", cost="data", made=bad.made, settings={}, run=stop, minutes=1)])
    assert folder.is_done(good)
    assert not folder.is_done(bad)
    assert folder.seconds(bad) == 0


def test_all_commits_are_named_with_their_changes(folder: WorkFolder, step: Callable[..., Step]):
    steps = [step("first"), step("second"), step("third"), step("fourth")]
    folder.execute(steps)
    records = folder.folder / RECORDS_FILE
    tree = json.loads(records.read_text())
    for name, commit in (("first", "0123"), ("second", "4567 with changes"), ("third", "0123")):
        tree[name]["commit"] = commit
    records.write_text(json.dumps(tree))
    assert folder.commits(steps) == f"0123, 4567 with changes, {current_commit()}"


def test_the_commit_is_the_one_that_the_process_started_from(
    folder: WorkFolder, step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
):
    started_from = folder.commit

    def move_on() -> float:
        monkeypatch.setattr(work_folder, "current_commit", lambda: "another")
        return step("first").run()

    steps = [dataclasses.replace(step("first"), run=move_on)]
    folder.execute(steps)
    reopened = WorkFolder(folder.folder)  # as every step that asks for its folder does
    assert reopened.commits(steps) == started_from != "another"


def test_machines_are_named_in_the_order_of_the_steps(folder: WorkFolder, step: Callable[..., Step]):
    steps = [step("first"), step("second"), step("third")]
    folder.execute(steps)
    here = describe_hardware(torch.device("cpu"))
    assert folder.hardware(steps) == here
    records = folder.folder / RECORDS_FILE
    tree = json.loads(records.read_text())
    tree["first"]["hardware"] = "1 abacus"
    del tree["second"]["hardware"]  # as before it was recorded
    records.write_text(json.dumps(tree))
    assert folder.hardware(steps) == f"1 abacus; {here}"


def test_damaged_records_are_named(folder: WorkFolder, step: Callable[..., Step]):
    folder.folder.mkdir()
    (folder.folder / RECORDS_FILE).write_text("{")
    with pytest.raises(MxqvaeError, match=r"steps\.json: damaged"):
        folder.execute([step("first")])
