"""A folder of finished steps: each is made once, and not mistaken for one that was made with other settings.

steps.json    for each finished step, in the order in which they ran: what it made, settings, seconds, commit,
              hardware
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mxqvae.device import find_device
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file
from mxqvae.progress import NoProgress, Progress
from mxqvae.provenance import current_commit, describe_hardware

RECORDS_FILE = "steps.json"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One piece of work."""

    name: str
    """Its key in the records, such as `mxqvae-seed0/prior`."""
    cost: str
    """The field of `results.Cost` that its time belongs to."""
    made: Path
    """What it leaves behind."""
    settings: Mapping[str, Any]
    """Whatever decides what it makes, the settings of earlier steps included; plain JSON."""
    run: Callable[[], float]
    """Makes it, in place of a remainder that a crash left, and returns the seconds it took."""
    minutes: float | None
    """What it takes on two cores, about, less what a run that was stopped has done; none: not known."""
    made_from: Sequence["Step"] = ()
    """Steps whose trained or drawn work it takes: made again after it, they outdate it.

    What is the same whenever it is built, such as a data set, need not be named.
    """
    run_folder: Path | None = None
    """Where a run that was stopped goes on from; deleted where the step is outdated."""


class WorkFolder:
    """Runs the steps that are missing."""

    def __init__(self, folder: Path, progress: Progress = NoProgress()) -> None:
        self.folder = folder
        self.progress = progress
        self.commit = running_commit()

    def check(self, steps: Sequence[Step]) -> None:
        """Refuse a folder in which one of `steps` was done with other settings.

        Raises:
            MxqvaeError: One was.
        """
        for step in steps:
            self.is_done(step)

    def execute(self, steps: Sequence[Step]) -> None:
        """Run the steps, in order, that are not done.

        Raises:
            MxqvaeError: A step was done with other settings; before any of them runs.
        """
        self.check(steps)
        for step in steps:
            if not self.is_done(step):
                cost = "" if step.minutes is None else f": about {step.minutes:g} minutes on two cores"
                self.progress.say(f"{step.name}{cost}")
                if self._is_finished(step):
                    self._forget(step)
                self._record(step, step.run())

    def is_done(self, step: Step) -> bool:
        """Whether the step was finished, from what its sources are now, and what it made is still there.

        Raises:
            MxqvaeError: It was, with other settings.
        """
        if not self._is_finished(step) or not all(map(self.is_done, step.made_from)):
            return False
        order = list(self._records())
        return all(order.index(source.name) < order.index(step.name) for source in step.made_from)

    def _is_finished(self, step: Step) -> bool:
        """Whether the step was finished, whatever became of its sources since."""
        record = self._records().get(step.name)
        if record is None or not step.made.exists():
            return False
        made = self._place(step.made)
        # The same step's file may stand in another folder of results; old records name what is in here alone.
        if record.get("made", made) != made or ("made" not in record and Path(made).is_absolute()):
            return False
        wanted = json.loads(json.dumps(step.settings))
        if record["settings"] != wanted:
            difference = _first_difference(record["settings"], wanted)
            raise MxqvaeError(
                f"{step.made} was made with other settings ({difference}); "
                f"delete it to make it anew, or choose another work folder than {self.folder}"
            )
        return True

    def seconds(self, step: Step) -> float:
        """Seconds that a finished step took; 0 where it was not run."""
        return float(self._records().get(step.name, {}).get("seconds", 0.0))

    def commits(self, steps: Sequence[Step]) -> str:
        """The commits that `steps` ran from, in their order, and this very code; each once."""
        records = self._records()
        commits = [records[step.name]["commit"] for step in steps if step.name in records]
        return ", ".join(dict.fromkeys([*commits, self.commit]))

    def hardware(self, steps: Sequence[Step]) -> str:
        """The machines that `steps` ran on, in their order, and this one."""
        records = self._records()
        found = [records[step.name].get("hardware") for step in steps if step.name in records]
        machines = dict.fromkeys(machine for machine in [*found, describe_hardware(find_device())] if machine)
        return "; ".join(machines)

    def _records(self) -> dict[str, dict[str, Any]]:
        path = self.folder / RECORDS_FILE
        if not path.exists():
            return {}
        try:
            records = json.loads(path.read_text(encoding="utf-8"))
            if not all({"settings", "seconds", "commit"} <= set(record) for record in records.values()):
                raise ValueError("no records of steps")
        except (OSError, AttributeError, TypeError, ValueError) as error:
            raise MxqvaeError(
                f"{path}: damaged ({error}); delete it, and what is trained is only loaded again"
            ) from None
        return records

    def _record(self, step: Step, seconds: float) -> None:
        record = {
            "made": self._place(step.made),
            "settings": step.settings,
            "seconds": round(seconds, 3),
            "commit": self.commit,
            "hardware": describe_hardware(find_device()),
        }
        self._write_records({**self._records_without(step), step.name: record})

    def _forget(self, step: Step) -> None:
        """Let nothing of an outdated step go on: neither its run nor, after a stop, its record."""
        self._write_records(self._records_without(step))
        if step.run_folder is not None:
            shutil.rmtree(step.run_folder, ignore_errors=True)

    def _records_without(self, step: Step) -> dict[str, dict[str, Any]]:
        return {name: record for name, record in self._records().items() if name != step.name}

    def _write_records(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        with new_output_file(self.folder / RECORDS_FILE) as partial:
            partial.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")

    def _place(self, made: Path) -> str:
        """Where something lies, by a name that stays valid when the work folder is moved."""
        folder, made = self.folder.resolve(), made.resolve()
        return made.relative_to(folder).as_posix() if made.is_relative_to(folder) else str(made)


def version_setting(version: int) -> dict[str, int]:
    """The version of whatever builds a step's data, as a part of its settings.

    Records of version 1 do not name it, as settings once left it out: they stay as valid as they were.
    """
    return {} if version == 1 else {"version": version}


@cache
def running_commit() -> str:
    """The commit that this process runs, as it stood when the first work folder was opened.

    Steps take hours, in which the clone may move on.
    """
    return current_commit()


def _first_difference(old: Any, new: Any, name: str = "") -> str:
    """Where two trees of settings differ first: `training.num_steps 100, now 200`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    return f"{name} {old}, now {new}"
