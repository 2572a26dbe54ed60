"""Result files: the figures of one row of a table, with all that is needed to make them again.

    results/table2-mxqvae.json    one file for each row, named by the result

`reproduce` writes them and `report` reads them; a row can be reported again without running it again.
"""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mxqvae.config import configuration, from_json, to_json
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.output_file import new_output_file

if TYPE_CHECKING:
    import torch

RECORDED_PACKAGES = ("mxqvae", "torch", "numpy", "tokenizers", "pillow")
"""The packages whose versions can change a figure."""


@configuration
class Cost:
    """Wall-clock time of each step, in seconds; 0 where a step was not run."""

    data: float
    """Build of the data set."""
    judge: float
    """Training of the judge."""
    autoencoder: float
    """Training of stage 1."""
    prior: float
    """Training of stage 2, its code extraction included."""
    sampling: float
    """All pairs that were scored."""
    scoring: float
    """Samples, ceiling and floor."""

    def __post_init__(self) -> None:
        for step, seconds in dataclasses.asdict(self).items():
            if seconds < 0:
                raise ValueError(f"{step} must take a time from 0 seconds up, got {seconds}")


@configuration
class Table2Figures:
    """One row of Table 2; every float is a share in [0, 1]."""

    samples: ConsistencyScore
    """The pairs that the model sampled."""
    ceiling: ConsistencyScore
    """Real test pairs, by the same judge."""
    floor: ConsistencyScore
    """The same images with captions dealt at random."""
    judge_accuracy: float
    """Share of real test digits that the judge names right."""

    def __post_init__(self) -> None:
        for name, value in _leaves(dataclasses.asdict(self)):
            if isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {value}")


@configuration
class Result:
    """One row of a table, as it was run."""

    name: str
    """Name of the file, without its ending."""
    table: Literal["table2"]
    """The table it belongs to."""
    row: str
    """The paper's label of the row, such as MXQ-VAE."""
    recipe: str
    """The recipe that makes it."""
    seed: int
    """Seed of every random draw."""
    commit: str
    """The source it was run from, see `current_commit`."""
    hardware: str
    """The machine, see `describe_hardware`."""
    versions: dict[str, str]
    """Versions of Python and of the packages that matter, see `list_versions`."""
    cost: Cost
    """Time taken."""
    date: datetime.date
    """Day it was run."""
    figures: Table2Figures
    """What came out."""


def write_result(result: Result, folder: Path) -> Path:
    """Write `folder/NAME.json`, in place of an older one, and return its path."""
    path = folder / f"{result.name}.json"
    with new_output_file(path) as partial:
        partial.write_text(to_json(result) + "\n", encoding="utf-8")
    return path


def read_result(path: Path) -> Result:
    """Read one result file.

    Raises:
        MxqvaeError: The file is missing or not text, a key is missing, unknown or of the wrong type, a share
            lies outside [0, 1], or the file has another name than the result.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MxqvaeError(f"{path}: not a readable result file ({error}); name a file of results/") from None
    result = from_json(Result, text, str(path))
    if result.name != path.stem:
        raise MxqvaeError(f"{path}: holds the result {result.name!r}; rename the file to {result.name}.json")
    return result


def read_results(folder: Path) -> list[Result]:
    """Read all result files of a folder, in the order of their names.

    Raises:
        MxqvaeError: The folder is missing, two files hold the same row, or as `read_result`.
    """
    if not folder.is_dir():
        raise MxqvaeError(f"{folder}: no such folder; name the folder of the result files")
    results: dict[tuple[str, str], Result] = {}
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        other = results.setdefault((result.table, result.row), result)
        if other is not result:
            raise MxqvaeError(
                f"{folder}: {other.name}.json and {result.name}.json both hold the row {result.row!r} of "
                f"{result.table}; keep one"
            )
    return list(results.values())


def current_commit() -> str:
    """Return the commit of this source, followed by " with changes" where files differ from it.

    A package that was not installed from a clone gives "unknown".
    """
    source = Path(__file__)
    # An installed copy may lie inside somebody else's clone: ask whether this very file is tracked.
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return "unknown"
    commit = _git(source.parent, "rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit} with changes" if _git(source.parent, "status", "--porcelain", ".") else commit


def describe_hardware(device: "torch.device") -> str:
    """Return what a run on `device` uses, such as `2 cores of AMD EPYC 9R14` or `1 NVIDIA H100`."""
    if device.type == "cuda":
        import torch

        return f"1 {torch.cuda.get_device_name(device)}"
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{num_cores} core{'s' * (num_cores != 1)} of {_processor_name()}"


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of `RECORDED_PACKAGES`."""
    packages = {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **packages}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it fails or is not installed."""
    try:
        run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dicts that is no dict, under its dotted name."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _leaves(branch, f"{name}.{key}" if name else key)
