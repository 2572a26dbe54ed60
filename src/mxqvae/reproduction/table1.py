"""Table 1: rows from the raw digits to the correlation of captions on the Degree sets.

Beside the result there is a picture: one image under captions of every degree, and what stage 1 makes of it.
"""

import time
from dataclasses import dataclass

from mxqvae.config import to_tree
from mxqvae.data.degree import build_degree_sets
from mxqvae.evaluation.correlation import score_correlation
from mxqvae.evaluation.reconstruction_sheet import write_degree_sheet
from mxqvae.generation.pipeline import load_autoencoder, load_tokenizer
from mxqvae.reproduction.rows import (
    TABLE1_EXTRA_ROWS,
    TABLE1_ROWS,
    CaptionMnistReproduction,
    Row,
    find_row,
    timed,
)
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import Table1Result, write_result


@dataclass(frozen=True, kw_only=True)
class Table1Reproduction(CaptionMnistReproduction):
    """Rows of Table 1 in a work folder."""

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name.
        """
        row = find_row(TABLE1_ROWS | TABLE1_EXTRA_ROWS, name)
        made = [self.data_step(), self._degree_step(), *self.autoencoder_steps(row.recipe)]
        result = f"table1-{name}-seed{self.seed}"
        scoring = Step(
            name=f"{self.model_folder(row.recipe).name}/table1",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={"stage1": made[-1].settings, "degree": made[1].settings},
            run=lambda: self._score(result, row, made),
            minutes=2,
        )
        return [*made, scoring]

    def _degree_step(self) -> Step:
        def build() -> float:
            out = self.work / "degree"
            return timed(
                lambda: build_degree_sets(self.data_folder, out, overwrite=True, progress=self.progress)
            )

        return Step(
            name="degree",
            cost="degree",
            made=self.work / "degree",
            settings={"data": to_tree(self.data)},
            run=build,
            minutes=0.5,
        )

    def _score(self, result: str, row: Row, made: list[Step]) -> float:
        started = time.monotonic()
        folder = self.model_folder(row.recipe)
        autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
        score = score_correlation(autoencoder, tokenizer, self.work / "degree", progress=self.progress)
        write_degree_sheet(self.results / f"{result}.png", self.work / "degree", autoencoder, tokenizer)
        seconds = time.monotonic() - started
        run = self.run_record(result, row, made, seconds)
        write_result(Table1Result(**run, figures=score), self.results)
        return seconds
