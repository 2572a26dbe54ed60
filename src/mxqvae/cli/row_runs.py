"""What all of `mxqvae reproduce` does: rows with each seed in turn, or the plan of that."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import at_least
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.reproduction.rows import Reproduction


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse no seed, or a negative one.

    Raises:
        MxqvaeError: Names the remedy.
    """
    if not seeds:
        raise MxqvaeError("--seeds takes one or more, such as --seeds 0 1 2")
    at_least(0, seeds=min(seeds))


def run_rows(
    reproductions: Sequence["Reproduction"], names: Sequence[str], rows: Collection[str], dry_run: bool
) -> bool:
    """Run the rows with each seed in turn, or print what that takes; returns whether they were run.

    Args:
        reproductions: One for each seed, all in the same work folder.
    """
    from mxqvae.device import find_device, multiplies_bf16
    from mxqvae.progress import format_duration
    from mxqvae.results import read_results

    plan = {
        name if len(reproductions) == 1 else f"{name}, seed {run.seed}": run.steps(name)
        for run in reproductions
        for name in names or rows
    }
    folder = reproductions[0].folder
    if dry_run:
        seen: set[str] = set()
        minutes, num_unknown = 0.0, 0
        for name, steps in plan.items():
            print(f"{name}:")
            for step in steps:
                if folder.is_done(step):
                    cost = "done"
                elif step.name in seen:
                    cost = "shared, see above"
                else:
                    cost = "unknown" if step.minutes is None else f"{step.minutes:g} min"
                    minutes += step.minutes or 0
                    num_unknown += step.minutes is None
                seen.add(step.name)
                print(f"  {step.name:<50} {cost:>17}   {step.made}")
        more = f" and {num_unknown} steps of unknown time" if num_unknown else ""
        slow = "" if multiplies_bf16(find_device()) else "; about twice as long without bfloat16"
        print(f"To do: about {format_duration(60 * minutes)} on two cores{more}{slow}")
        return False
    if (results := reproductions[0].results).is_dir():
        read_results(results)  # a file there that is no result is refused before hours of work
    for steps in plan.values():
        folder.check(steps)
    for name, steps in plan.items():
        folder.execute(steps)
        print(f"{name}: {steps[-1].made}")
    return True
