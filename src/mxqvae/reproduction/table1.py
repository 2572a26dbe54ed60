"""Table 1: rows from the raw digits, or from captioned images, to the correlation of captions on Degree sets.

Beside the result there is a picture: one image under captions of every degree, and what stage 1 makes of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mxqvae.data import colour_degree, degree
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.correlation import score_correlation
from mxqvae.evaluation.degree_sheet import write_degree_sheet
from mxqvae.generation.pipeline import load_autoencoder, load_tokenizer
from mxqvae.recipes import RECIPES, fitting_recipe
from mxqvae.reproduction.captioned_images import CaptionedImagesReproduction
from mxqvae.reproduction.rows import (
    TABLE1_EXTRA_ROWS,
    TABLE1_ROWS,
    CaptionMnistReproduction,
    Reproduction,
    Row,
    find_row,
    timed,
)
from mxqvae.reproduction.work_folder import Step, version_setting
from mxqvae.results import CAPTION_MNIST, Table1Result, write_result


@dataclass(frozen=True, kw_only=True)
class Table1Reproduction(CaptionMnistReproduction):
    """Rows of Table 1 in a work folder."""

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name.
        """
        row = find_row(TABLE1_ROWS | TABLE1_EXTRA_ROWS, name)
        sets = degree_step(self, degree.build_degree_sets, degree.VERSION)
        made = [self.data_step(), sets, *self.autoencoder_steps(row.recipe)]
        result = f"table1-{name}-seed{self.seed}"
        return [*made, _scoring_step(self, result, row, CAPTION_MNIST, sets, made)]


@dataclass(frozen=True, kw_only=True)
class CaptionedImagesTable1Reproduction(CaptionedImagesReproduction):
    """Rows of Table 1 on one data set of captioned images, whose captions lie about colours."""

    recipe: str
    """The recipe of the row MXQ-VAE; those of the others have its name, then their own."""

    @property
    def rows(self) -> dict[str, Row]:
        """The paper's rows by name, with the recipes that make them here."""
        return {
            name: Row(label=row.label, recipe=self.recipe if name == "mxqvae" else f"{self.recipe}-{name}")
            for name, row in TABLE1_ROWS.items()
        }

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name, no recipe for it or one for Caption MNIST, or no data set.
        """
        row = find_row(self.rows, name)
        if row.recipe not in RECIPES:
            raise MxqvaeError(f"--recipe {self.recipe} has no row {name}; take photos-cpu or pairs-cpu")
        self.check_splits("train", "test")
        fitting_recipe(self.data, self.recipe)
        sets = degree_step(self, colour_degree.build_colour_degree_sets, colour_degree.VERSION)
        made = [sets, *self.autoencoder_steps(row.recipe)]
        result = f"table1-{self.data_set}-{row.recipe}-seed{self.seed}"
        return [*made, _scoring_step(self, result, row, self.data_set, sets, made)]


def degree_step(run: Reproduction, build: Callable[..., object], version: int) -> Step:
    """The Degree sets of a reproduction's test pairs, shared by all its rows."""
    out = run.work / "degree"

    def build_sets() -> float:
        return timed(lambda: build(run.data_folder, out, overwrite=True, progress=run.progress))

    return Step(
        name=out.name,
        cost="degree",
        made=out,
        settings={**run.data_settings, **version_setting(version)},
        run=build_sets,
        minutes=0.5,
    )


def _scoring_step(
    run: Reproduction, result: str, row: Row, data_set: str, sets: Step, made: Sequence[Step]
) -> Step:
    """Score what the steps `made`, the last of them stage 1, on the Degree sets of the step `sets`."""
    folder = run.model_folder(row.recipe)

    def score() -> float:
        started = time.monotonic()
        autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
        figures = score_correlation(autoencoder, tokenizer, sets.made, progress=run.progress)
        write_degree_sheet(run.results / f"{result}.png", sets.made, autoencoder, tokenizer)
        seconds = time.monotonic() - started
        record = run.run_record(result, row, made, seconds)
        write_result(Table1Result(**record, data_set=data_set, figures=figures), run.results)
        return seconds

    return Step(
        name=f"{folder.name}/table1",
        cost="scoring",
        made=run.results / f"{result}.json",
        settings={"stage1": made[-1].settings, "degree": sets.settings},
        run=score,
        minutes=2,
        made_from=made[-1:],
    )
