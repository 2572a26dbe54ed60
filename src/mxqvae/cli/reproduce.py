"""`mxqvae reproduce`: rows of the paper's tables, from the raw data."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, at_least
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.reproduce import Table2Run


def table2(
    *,
    rows: tuple[str, ...] = ("mxqvae",),
    work: Path = Path("runs/table2"),
    results: Path = Path("results"),
    mnist: PathOrNone = None,
    seed: int = 0,
    dry_run: bool = False,
) -> None:
    """Rerun rows of Table 2 from the raw digits: data, judge, both stages, samples, score, result file.

    Steps whose output is already in the work folder are passed over; the same command goes on where it was
    stopped. Hours on two cores: --dry-run tells how many.

    Args:
        rows: Rows to run, such as mxqvae.
        work: Folder for data, models and samples; kept.
        results: Folder for the result files, which `mxqvae report` reads.
        mnist: Folder with the four MNIST files; without it $MXQVAE_MNIST, the cache, a download.
        seed: Seed of data, training and sampling.
        dry_run: Print the steps and what they take, and stop.
    """
    at_least(0, seed=seed)
    if not rows:
        raise MxqvaeError("--rows needs at least one row, such as mxqvae")

    from mxqvae.progress import progress_on
    from mxqvae.reproduce import Table2Run

    runs = [
        Table2Run(row=row, work=work, results=results, mnist=mnist, seed=seed, progress=progress_on())
        for row in rows
    ]
    for run in runs:
        _ = run.recipe  # an unknown row is refused before the first one runs for hours
    if dry_run:
        _print_plan(runs)
        return
    for run in runs:
        print(f"{run.row}: {run.execute()}")


def _print_plan(runs: Sequence["Table2Run"]) -> None:
    seen: set[Path] = set()
    minutes = 0.0
    for run in runs:
        print(f"{run.row}:")
        for step in run.steps():
            is_done = step.made in seen or (step.made.exists() and step.name != "scoring")
            seen.add(step.made)
            minutes += 0 if is_done else step.minutes
            print(f"  {step.name:<12} {'done' if is_done else f'{step.minutes:g} min':>8}   {step.made}")
    print(f"To do: about {minutes:g} minutes on two cores")
