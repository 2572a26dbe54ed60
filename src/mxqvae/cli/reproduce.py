"""`mxqvae reproduce`: rows of the paper's tables, from the raw data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import Names, PathOrNone, Seeds, TextOrNone
from mxqvae.cli.figures import print_lines
from mxqvae.cli.row_runs import check_seeds, run_rows
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.results import Table1Result

WORK = Path("runs/reproduction")
TABLE3_WORK = Path("runs/table3")
RESULTS = Path("results")


def table1(
    *,
    data: PathOrNone = None,
    data_set: TextOrNone = None,
    recipe: TextOrNone = None,
    rows: Names = (),
    work: PathOrNone = None,
    results: Path = RESULTS,
    mnist: PathOrNone = None,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Rerun rows of Table 1 from the raw digits, or on --data: Degree sets, stage 1, score, result file.

    The captions of captioned images lie about colours. What is in the work folder is used again; the same
    command goes on where it was stopped. Hours on two cores: --dry-run tells how many.

    Args:
        data: Folder of captioned images, such as `mxqvae data folder` or `mxqvae data flowers102` builds;
            without it Caption MNIST.
        data_set: Its name in the table; Flower and CUB stand beside the poster's.
        recipe: With --data, recipe of the row MXQ-VAE: photos-cpu, or pairs-cpu where left and right matter;
            without it photos-cpu.
        rows: Rows to run, of only-sharing-c, without-tc, without-im, mxqvae; without it, all four. Caption
            MNIST also has masks-only and without-tc-masks-only, whose hidden words are never a random word,
            and warped, which learns from digits that nobody wrote.
        work: Folder for data and models; kept. Without it runs/reproduction, with --data that of Table 3,
            whose row MXQ-VAE has the same stage 1.
        results: Folder for result files; in a clone, name another than that of the published ones.
        mnist: Folder with the four MNIST files; without it, that of $MXQVAE_MNIST, the cache or a download.
        seeds: Seeds of training, one after another; the table has their mean and standard deviation.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)
    if (data is None) != (data_set is None):
        raise MxqvaeError("--data and --data-set go together: the folder, and its name in the table")
    if data is None and recipe is not None:
        raise MxqvaeError("--recipe is for --data; on Caption MNIST each row has its own")
    if data is not None and mnist is not None:
        raise MxqvaeError("--mnist is for Caption MNIST; leave it out beside --data")

    from mxqvae.progress import progress_on
    from mxqvae.report import table1 as report
    from mxqvae.reproduction.rows import TABLE1_ROWS
    from mxqvae.reproduction.table1 import CaptionedImagesTable1Reproduction, Table1Reproduction
    from mxqvae.results import CAPTION_MNIST, Table1Result, read_results

    progress, recipe = progress_on(), recipe or "photos-cpu"
    runs = [
        Table1Reproduction(work=work or WORK, results=results, mnist=mnist, seed=seed, progress=progress)
        if data is None or data_set is None
        else CaptionedImagesTable1Reproduction(
            work=(work or TABLE3_WORK) / data_set,
            results=results,
            data=data,
            data_set=data_set,
            recipe=recipe,
            seed=seed,
            progress=progress,
        )
        for seed in seeds
    ]
    if not run_rows(runs, rows, TABLE1_ROWS, dry_run):
        return
    scored = [result for result in read_results(results) if isinstance(result, Table1Result)]
    if data_set is None:
        digits = [result for result in scored if result.data_set == CAPTION_MNIST]
        _plot(results / "table1.png", digits, report.POSTER)
        title = "Table 1, Quad4: caption words that the reconstruction repeats"
        print_lines(title, report.HEADER, report.table1_lines(digits))
    else:
        photos = [result for result in scored if result.data_set != CAPTION_MNIST]
        recipes = {recipe, *(f"{recipe}-{name}" for name in TABLE1_ROWS)}
        compared = [run for run in photos if run.data_set == data_set and run.recipe in recipes]
        poster = report.POSTER_OF_PHOTOS.get(data_set, {})
        _plot(results / f"table1-{data_set}-{recipe}.png", compared, poster)
        title = "Table 1 on photos: colour words of the caption that the reconstruction repeats"
        print_lines(title, report.PHOTOS_HEADER, report.photos_lines(photos))


def table2(
    *,
    rows: Names = (),
    work: Path = WORK,
    results: Path = RESULTS,
    mnist: PathOrNone = None,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Rerun rows of Table 2 from the raw digits: data, judge, both stages, samples, score, result file.

    What is in the work folder is used again; the same command goes on where it was stopped. Hours on two
    cores: --dry-run tells how many.

    Args:
        rows: Rows to run, of i-t, t-i, i-t-emb, t-emb-i, mxqvae; without it, all. Besides there is warped,
            which learns from digits that nobody wrote.
        work: Folder for data, models and samples; kept.
        results: Folder for result files; in a clone, name another than that of the published ones.
        mnist: Folder with the four MNIST files; without it, that of $MXQVAE_MNIST, the cache or a download.
        seeds: Seeds of training and sampling, one after another; each has its own line in the table.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)

    from mxqvae.progress import progress_on
    from mxqvae.report.table2 import HEADER, MEASURES_HEADER, judge_line, measures_lines, table2_lines
    from mxqvae.reproduction.rows import TABLE2_ROWS
    from mxqvae.reproduction.table2 import Table2Reproduction
    from mxqvae.results import Table2Result, read_results

    progress = progress_on()
    runs = [
        Table2Reproduction(work=work, results=results, mnist=mnist, seed=seed, progress=progress)
        for seed in seeds
    ]
    if run_rows(runs, rows, TABLE2_ROWS, dry_run):
        scored = [result for result in read_results(results) if isinstance(result, Table2Result)]
        print_lines("Table 2: pairs that agree with themselves", HEADER, table2_lines(scored))
        # A line for each measure: what fits a page is too wide for a terminal.
        header, *measures = zip(MEASURES_HEADER, *measures_lines(scored), strict=True)
        print_lines("What the poster does not tell of its rows, of ours", header, measures)
        print(judge_line(scored))
        picture = runs[0].picture_rows(scored)
        if picture is not None:
            print(f"Samples of the rows side by side: {picture}")


def table3(
    *,
    data: Path,
    data_set: str,
    recipe: str = "photos-cpu",
    rows: Names = (),
    references: str = "test",
    work: Path = TABLE3_WORK,
    results: Path = RESULTS,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Train rows of Table 3 on a data set of captioned images, sample them, score them, write result files.

    What is in the work folder is used again; the same command goes on where it was stopped. Needs
    `pip install 'mxqvae[similarity]'`, and hours on two cores: --dry-run tells how many.

    Args:
        data: Folder of the data set, such as `mxqvae data folder` or `mxqvae data flowers102` builds.
        data_set: Its name in the table; Flower and CUB stand beside the poster's.
        recipe: Recipe of the row MXQ-VAE: photos-cpu, photos-paper, or pairs-cpu where left and right matter.
        rows: Rows to run, of joint-gan-mmvae, mxqvae; without it, both.
        references: Split that the references come from: test, of which the models know nothing, or train.
        work: Folder for models and samples of this data set; kept.
        results: Folder for result files; in a clone, name another than that of the published ones.
        seeds: Seeds of training and sampling, one after another; each has its own line in the table.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)

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
    progress = progress_on()
    runs = [
        Table3Reproduction(
            work=work / data_set,
            results=results,
            data=data,
            data_set=data_set,
            recipe=recipe,
            reference_split=references,
            seed=seed,
            progress=progress,
        )
        for seed in seeds
    ]
    if run_rows(runs, rows, TABLE3_ROWS, dry_run):
        scored = [result for result in read_results(results) if isinstance(result, Table3Result)]
        print_lines("Table 3: captions against those of similar images", HEADER, table3_lines(scored))


def pairs(
    *,
    data: Path,
    data_set: str,
    recipes: Names = (),
    work: Path = TABLE3_WORK,
    results: Path = RESULTS,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Train recipes on a data set of captioned images, sample them, and measure what takes no judge.

    That is: how many sampled captions find their own image, how near samples come to training images, what
    stage 1 makes of test images, and the bits of test pairs. What is in the work folder is used again, models
    that were trained for Table 3 too. Needs `pip install 'mxqvae[similarity]'`, and up to four hours on two
    cores: --dry-run tells how long.

    Args:
        data: Folder of the data set, such as `mxqvae data folder` or `mxqvae data emoji` builds.
        data_set: Its name in the table.
        recipes: Recipes to run; without it, the default for the data set.
        work: Folder for models and samples, that of Table 3; kept.
        results: Folder for result files; in a clone, name another than that of the published ones.
        seeds: Seeds of training and sampling, one after another; each has its own line in the table.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)

    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.progress import progress_on
    from mxqvae.recipes import fitting_recipe
    from mxqvae.report.own_pairs import pairs_header, pairs_lines
    from mxqvae.reproduction.own_pairs import OwnPairsReproduction
    from mxqvae.results import PairsResult, read_results

    if not dry_run:  # before hours of training
        EfficientNetFeatures.from_package()
    progress = progress_on()
    runs = [
        OwnPairsReproduction(
            work=work / data_set,
            results=results,
            data=data,
            data_set=data_set,
            seed=seed,
            progress=progress,
        )
        for seed in seeds
    ]
    if run_rows(runs, recipes or (fitting_recipe(data, None),), (), dry_run):
        measured = [result for result in read_results(results) if isinstance(result, PairsResult)]
        print_lines("Captioned images", pairs_header(measured), pairs_lines(measured))


def reconstruction(
    *,
    data: Path,
    data_set: str,
    recipes: Names = (),
    work: Path = TABLE3_WORK,
    results: Path = RESULTS,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Train stage 1 of recipes on a data set of captioned images, measure what it makes of the test images.

    What is in the work folder is used again, a stage 1 that was trained for Table 3 too. Needs
    `pip install 'mxqvae[similarity]'`, and an hour or so on two cores for each recipe.

    Args:
        data: Folder of the data set, such as `mxqvae data folder` or `mxqvae data flowers102` builds.
        data_set: Its name in the table.
        recipes: Recipes whose stage 1 is measured; without it, photos-cpu and photos-cpu-perceptual.
        work: Folder for models, that of Table 3; kept.
        results: Folder for result files; in a clone, name another than that of the published ones.
        seeds: Seeds of training, one after another; each has its own line in the table.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)

    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.progress import progress_on
    from mxqvae.report.reconstruction import HEADER, reconstruction_lines
    from mxqvae.reproduction.reconstruction import ReconstructionReproduction
    from mxqvae.reproduction.rows import RECONSTRUCTION_RECIPES
    from mxqvae.results import ReconstructionResult, read_results

    if not dry_run:  # before hours of training
        EfficientNetFeatures.from_package()
    progress = progress_on()
    runs = [
        ReconstructionReproduction(
            work=work / data_set,
            results=results,
            data=data,
            data_set=data_set,
            seed=seed,
            progress=progress,
        )
        for seed in seeds
    ]
    if run_rows(runs, recipes, RECONSTRUCTION_RECIPES, dry_run):
        measured = [result for result in read_results(results) if isinstance(result, ReconstructionResult)]
        print_lines("Reconstructed test images", HEADER, reconstruction_lines(measured))


def dirty_data(
    *,
    rows: Names = (),
    work: Path = WORK,
    results: Path = RESULTS,
    mnist: PathOrNone = None,
    seeds: Seeds = (0,),
    dry_run: bool = False,
) -> None:
    """Train stage 1 on captions of which some lie; audit them with it, words hidden; train it on the rest.

    What is in the work folder is used again; the same command goes on where it was stopped. Hours on two
    cores: --dry-run tells how many.

    Args:
        rows: Rows to run, of clean, 10-dirty (10% of the captions lie), 10-filtered (of these, contradicted
            pairs left out), 10-corrected (with the captions that the audit proposes), 10-true (all lies left
            out, as only their maker can), and the same with 20 and 40; without it, all.
        work: Folder for data, models and audits; kept.
        results: Folder for result files; in a clone, name another than that of the published ones.
        mnist: Folder with the four MNIST files; without it, that of $MXQVAE_MNIST, the cache or a download.
        seeds: Seeds of training, one after another; the table has their mean and standard deviation.
        dry_run: Print the steps and what they take, and stop.
    """
    check_seeds(seeds)

    from mxqvae.progress import progress_on
    from mxqvae.report.dirty_data import HEADER, dirty_data_lines
    from mxqvae.reproduction.dirty_data import ROWS, DirtyDataReproduction
    from mxqvae.results import DirtyDataResult, read_results

    progress = progress_on()
    runs = [
        DirtyDataReproduction(work=work, results=results, mnist=mnist, seed=seed, progress=progress)
        for seed in seeds
    ]
    if run_rows(runs, rows, ROWS, dry_run):
        measured = [result for result in read_results(results) if isinstance(result, DirtyDataResult)]
        print_lines("Training captions that lie", HEADER, dirty_data_lines(measured))


def _plot(path: Path, scored: Sequence["Table1Result"], poster: Mapping[str, Sequence[float]]) -> None:
    """Draw all rows in the table's order, each by its lowest seed, where the extra `plots` is installed."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        print("No plot: it takes matplotlib, `pip install 'mxqvae[plots]'`")
        return
    from mxqvae.evaluation.correlation_plot import write_correlation_plot
    from mxqvae.report.table1 import ROWS

    lowest_last = sorted(scored, key=lambda run: run.seed, reverse=True)
    rows = {row: run.figures for row in ROWS for run in lowest_last if run.row == row}
    write_correlation_plot(path, rows, poster)
    print(f"Plot: {path}")
