"""`mxqvae reproduce`: rows of the paper's tables, from the raw data."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, at_least

if TYPE_CHECKING:
    from mxqvae.report.markdown import Lines
    from mxqvae.reproduction.rows import Reproduction
    from mxqvae.results import Table1Result

WORK = Path("runs/reproduction")
RESULTS = Path("results")


def table1(
    *,
    rows: tuple[str, ...] = (),
    work: Path = WORK,
    results: Path = RESULTS,
    mnist: PathOrNone = None,
    seed: int = 0,
    dry_run: bool = False,
) -> None:
    """Rerun rows of Table 1 from the raw digits: data, Degree sets, stage 1, score, result file.

    What is in the work folder is used again; the same command goes on where it was stopped. Hours on two
    cores: --dry-run tells how many.

    Args:
        rows: Rows to run, such as mxqvae without-tc; without it, all.
        work: Folder for data and models; kept.
        results: Folder for the result files, which `mxqvae report` reads.
        mnist: Folder with the four MNIST files; without it $MXQVAE_MNIST, the cache, a download.
        seed: Seed of training.
        dry_run: Print the steps and what they take, and stop.
    """
    at_least(0, seed=seed)

    from mxqvae.progress import progress_on
    from mxqvae.report.table1 import HEADER, table1_lines
    from mxqvae.reproduction.rows import TABLE1_ROWS
    from mxqvae.reproduction.table1 import Table1Reproduction
    from mxqvae.results import Table1Result, read_results

    run = Table1Reproduction(work=work, results=results, mnist=mnist, seed=seed, progress=progress_on())
    if _run(run, rows, TABLE1_ROWS, dry_run):
        scored = [result for result in read_results(results) if isinstance(result, Table1Result)]
        _plot(results / "table1.png", scored)
        _print_table(
            "Table 1, Quad4: caption words that the reconstruction repeats", HEADER, table1_lines(scored)
        )


def table2(
    *,
    rows: tuple[str, ...] = (),
    work: Path = WORK,
    results: Path = RESULTS,
    mnist: PathOrNone = None,
    seed: int = 0,
    dry_run: bool = False,
) -> None:
    """Rerun rows of Table 2 from the raw digits: data, judge, both stages, samples, score, result file.

    What is in the work folder is used again; the same command goes on where it was stopped. Hours on two
    cores: --dry-run tells how many.

    Args:
        rows: Rows to run, such as mxqvae i-t; without it, all.
        work: Folder for data, models and samples; kept.
        results: Folder for the result files, which `mxqvae report` reads.
        mnist: Folder with the four MNIST files; without it $MXQVAE_MNIST, the cache, a download.
        seed: Seed of training and sampling.
        dry_run: Print the steps and what they take, and stop.
    """
    at_least(0, seed=seed)

    from mxqvae.progress import progress_on
    from mxqvae.report.table2 import HEADER, table2_lines
    from mxqvae.reproduction.rows import TABLE2_ROWS
    from mxqvae.reproduction.table2 import Table2Reproduction
    from mxqvae.results import Table2Result, read_results

    run = Table2Reproduction(work=work, results=results, mnist=mnist, seed=seed, progress=progress_on())
    if _run(run, rows, TABLE2_ROWS, dry_run):
        scored = [result for result in read_results(results) if isinstance(result, Table2Result)]
        _print_table("Table 2: pairs that agree with themselves", HEADER, table2_lines(scored))


def table3(
    *,
    data: Path,
    data_set: str,
    recipe: str = "photos-cpu",
    rows: tuple[str, ...] = (),
    references: str = "test",
    work: Path = Path("runs/table3"),
    results: Path = RESULTS,
    seed: int = 0,
    dry_run: bool = False,
) -> None:
    """Train rows of Table 3 on a data set of captioned images, sample them, score them, write result files.

    What is in the work folder is used again; the same command goes on where it was stopped. Takes the
    packages of the extra `similarity`, and hours on two cores: --dry-run tells how many.

    Args:
        data: Folder of the data set, such as `mxqvae data folder` or `mxqvae data flowers102` builds.
        data_set: Its name in the table; Flower and CUB stand beside the poster's.
        recipe: Recipe of the row MXQ-VAE: photos-cpu, photos-paper, or pairs-cpu where left and right matter.
        rows: Rows to run, such as mxqvae; without it, all.
        references: Split that the references come from: test, of which the models know nothing, or train.
        work: Folder for models and samples of this data set; kept.
        results: Folder for the result files, which `mxqvae report` reads.
        seed: Seed of training and sampling.
        dry_run: Print the steps and what they take, and stop.
    """
    at_least(0, seed=seed)

    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.evaluation.sentence_encoder import MiniLMEncoder
    from mxqvae.progress import progress_on
    from mxqvae.recipes import find_recipe
    from mxqvae.report.table3 import HEADER, table3_lines
    from mxqvae.reproduction.rows import TABLE3_ROWS
    from mxqvae.reproduction.table3 import Table3Reproduction
    from mxqvae.results import Table3Result, read_results

    find_recipe(recipe)
    if not dry_run:  # before hours of training
        EfficientNetFeatures.from_package()
        MiniLMEncoder.from_package()
    run = Table3Reproduction(
        work=work / data_set,
        results=results,
        data=data,
        data_set=data_set,
        recipe=recipe,
        reference_split=references,
        seed=seed,
        progress=progress_on(),
    )
    if _run(run, rows, TABLE3_ROWS, dry_run):
        scored = [result for result in read_results(results) if isinstance(result, Table3Result)]
        _print_table("Table 3: captions against those of similar images", HEADER, table3_lines(scored))


def reconstruction(
    *,
    data: Path,
    data_set: str,
    recipes: tuple[str, ...] = (),
    work: Path = Path("runs/table3"),
    results: Path = RESULTS,
    seed: int = 0,
    dry_run: bool = False,
) -> None:
    """Train stage 1 of recipes on a data set of captioned images, measure what it makes of the test images.

    What is in the work folder is used again, a stage 1 that was trained for Table 3 too. Takes the packages
    of the extra `similarity`, and an hour or so on two cores for each recipe.

    Args:
        data: Folder of the data set, such as `mxqvae data folder` or `mxqvae data flowers102` builds.
        data_set: Its name in the table.
        recipes: Recipes whose stage 1 is measured; without it, photos-cpu and photos-cpu-perceptual.
        work: Folder for models, that of Table 3; kept.
        results: Folder for the result files, which `mxqvae report` reads.
        seed: Seed of training.
        dry_run: Print the steps and what they take, and stop.
    """
    at_least(0, seed=seed)

    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.progress import progress_on
    from mxqvae.report.reconstruction import HEADER, reconstruction_lines
    from mxqvae.reproduction.reconstruction import ReconstructionReproduction
    from mxqvae.reproduction.rows import RECONSTRUCTION_RECIPES
    from mxqvae.results import ReconstructionResult, read_results

    if not dry_run:  # before hours of training
        EfficientNetFeatures.from_package()
    run = ReconstructionReproduction(
        work=work / data_set, results=results, data=data, data_set=data_set, seed=seed, progress=progress_on()
    )
    if _run(run, recipes, RECONSTRUCTION_RECIPES, dry_run):
        measured = [result for result in read_results(results) if isinstance(result, ReconstructionResult)]
        _print_table("Reconstructed test images", HEADER, reconstruction_lines(measured))


def _run(reproduction: "Reproduction", names: Sequence[str], rows: Collection[str], dry_run: bool) -> bool:
    """Run the rows, or print what that takes; returns whether they were run."""
    from mxqvae.device import find_device, multiplies_bf16

    plan = {name: reproduction.steps(name) for name in names or rows}
    folder = reproduction.folder
    if dry_run:
        seen: set[str] = set()
        minutes = 0.0
        for name, steps in plan.items():
            print(f"{name}:")
            for step in steps:
                is_done = step.name in seen or folder.is_done(step)
                seen.add(step.name)
                minutes += 0 if is_done else step.minutes or 0
                known = "unknown" if step.minutes is None else f"{step.minutes:g} min"
                cost = "done" if is_done else known
                print(f"  {step.name:<36} {cost:>8}   {step.made}")
        here = (
            ""
            if multiplies_bf16(find_device())
            else "; training is in float32 here: two or three times as long"
        )
        print(f"To do: about {minutes:g} minutes on two cores{here}")
        return False
    for steps in plan.values():
        folder.check(steps)
    for name, steps in plan.items():
        folder.execute(steps)
        print(f"{name}: {steps[-1].made}")
    return True


def _plot(path: Path, scored: Sequence["Table1Result"]) -> None:
    """Draw all rows, each by its lowest seed, where the extra `plots` is installed."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        print("No plot: it takes matplotlib, `pip install 'mxqvae[plots]'`")
        return
    from mxqvae.evaluation.correlation import POSTER_ROWS
    from mxqvae.evaluation.correlation_plot import write_correlation_plot

    rows = {run.row: run.figures for run in sorted(scored, key=lambda run: run.seed, reverse=True)}
    write_correlation_plot(path, rows, POSTER_ROWS)
    print(f"Plot: {path}")


def _print_table(title: str, header: Sequence[str], lines: "Lines") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, cell in enumerate(header):
        table.add_column(cell, justify="left" if number < 2 else "right")
    for line in lines:
        table.add_row(*(cell.replace("**", "").replace("\\", "") for cell in line))
    Console(highlight=False).print(table)
