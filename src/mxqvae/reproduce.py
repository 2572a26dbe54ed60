"""Reruns rows of Table 2 from the raw digits: data, judge, both stages, samples, score, result file.

Each step leaves a file or folder in the work folder and is passed over when that is there; training resumes
from its checkpoint. Time and commit of each step are kept beside them, so that a result names its whole cost.
"""

import dataclasses
import datetime
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.data.mnist import load_mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import measure_bounds, score_consistency
from mxqvae.evaluation.judge import Judge, JudgeConfig
from mxqvae.evaluation.judge_training import train_judge
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.generation.sample_folder import read_sample_folder, write_sample_folder
from mxqvae.output_file import new_output_file
from mxqvae.progress import NoProgress, Progress
from mxqvae.recipes import Recipe, find_recipe
from mxqvae.results import (
    Cost,
    Result,
    Table2Figures,
    current_commit,
    describe_hardware,
    list_versions,
    write_result,
)
from mxqvae.stages import train_autoencoder, train_prior

NUM_SAMPLES = 10_000
"""Pairs that are sampled and scored (official code)."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    label: str
    """Its name in the paper."""
    recipe: str
    """The recipe that makes it."""


SHARED_STEPS = ("data", "judge")
"""Steps that serve every row."""

TABLE2_ROWS = {"mxqvae": Row("MXQ-VAE", "caption-mnist-cpu")}


@dataclass(frozen=True)
class Step:
    """One piece of work that leaves `made` behind and returns the seconds it took."""

    name: str
    made: Path
    run: Callable[[], float]
    minutes: float
    """What it took on two cores for the shipped weights."""


@dataclass(frozen=True, kw_only=True)
class Table2Run:
    """One row of Table 2 in a work folder."""

    row: str
    """A key of `TABLE2_ROWS`."""
    work: Path
    """Folder for data, models and samples; kept."""
    results: Path
    """Folder for the result file."""
    mnist: Path | None = None
    """Folder of the raw digits; none: cache or download."""
    seed: int = 0
    """Seed of data, training and sampling."""
    data: CaptionMnistConfig = CaptionMnistConfig()
    """Sizes of the data set; its seed gives way to the run's."""
    judge: JudgeConfig = JudgeConfig()
    """How the judge is trained."""
    num_samples: int = NUM_SAMPLES
    """Pairs to score."""
    progress: Progress = NoProgress()
    """Where the run says how far it is."""

    @property
    def recipe(self) -> Recipe:
        """The recipe of the row.

        Raises:
            MxqvaeError: No row of that name.
        """
        if self.row not in TABLE2_ROWS:
            raise MxqvaeError(f"unknown row {self.row!r}; choose from {', '.join(TABLE2_ROWS)}")
        return find_recipe(TABLE2_ROWS[self.row].recipe)

    def steps(self) -> list[Step]:
        """What the row takes, in order."""
        model = self.work / self.row
        return [
            Step("data", self.work / "data", self._build_data, 0.5),
            Step("judge", self.work / "judge" / "config.json", self._train_judge, 10),
            Step("autoencoder", model / "autoencoder" / "config.json", self._train_autoencoder, 60),
            Step("prior", model / "prior" / "config.json", self._train_prior, 40),
            Step("sampling", self.work / f"{self.row}-samples", self._sample, 2),
            Step("scoring", self.results / f"table2-{self.row}.json", self._score, 1),
        ]

    def execute(self) -> Path:
        """Run the steps that are missing; the score is always taken anew. Returns the result file's path."""
        steps = self.steps()
        for step in steps:
            if step.name == "scoring" or not step.made.exists():
                self.progress.say(f"{step.name}: about {step.minutes:g} minutes on two cores")
                self._record(step.name, step.run())
        return steps[-1].made

    def _build_data(self) -> float:
        started = time.monotonic()
        config = dataclasses.replace(self.data, seed=self.seed)
        build_caption_mnist(config, load_mnist(self.mnist), self.work / "data", progress=self.progress)
        return time.monotonic() - started

    def _train_judge(self) -> float:
        folder = self.work / "judge"
        judge = train_judge(load_mnist(self.mnist), self.judge, folder / "run", progress=self.progress)
        judge.save_pretrained(folder)
        return judge.record.training_seconds

    def _train_autoencoder(self) -> float:
        return train_autoencoder(
            self.recipe, self.work / "data", self.work / self.row, seed=self.seed, progress=self.progress
        )

    def _train_prior(self) -> float:
        return train_prior(
            self.recipe, self.work / "data", self.work / self.row, seed=self.seed, progress=self.progress
        )

    def _sample(self) -> float:
        started = time.monotonic()
        generator = PairGenerator.from_pretrained(self.work / self.row)
        recipe = self.recipe
        batches = generator.sample(
            self.num_samples,
            seed=self.seed,
            sampling=recipe.sampling,
            num_refinements=recipe.num_refinements,
        )
        out = self.work / f"{self.row}-samples"
        with self.progress.task("sample", total=self.num_samples, unit="pairs") as advance:
            write_sample_folder(batches, out, seed=self.seed, advance=advance)
        return time.monotonic() - started

    def _score(self) -> float:
        started = time.monotonic()
        judge = Judge.from_pretrained(self.work / "judge")
        samples = read_sample_folder(self.work / f"{self.row}-samples")
        real = PairDataset.from_parquet(self.work / "data", "test")
        bounds = measure_bounds(real.images, real.captions, judge)
        figures = Table2Figures(
            samples=score_consistency(torch.from_numpy(samples.images), samples.captions, judge),
            ceiling=bounds.ceiling,
            floor=bounds.floor,
            judge_accuracy=judge.record.test_accuracy,
        )
        seconds = time.monotonic() - started
        costs = {name: record["seconds"] for name, record in self._records().items()} | {"scoring": seconds}
        result = Result(
            name=f"table2-{self.row}",
            table="table2",
            row=TABLE2_ROWS[self.row].label,
            recipe=TABLE2_ROWS[self.row].recipe,
            seed=self.seed,
            commit=self._commits(),
            hardware=describe_hardware(torch.device("cpu")),
            versions=list_versions(),
            cost=Cost(**{name: round(costs.get(name, 0.0), 1) for name in Cost.__dataclass_fields__}),
            date=datetime.date.today(),
            figures=figures,
        )
        write_result(result, self.results)
        return seconds

    def _commits(self) -> str:
        """The commit that all steps ran from, or the first and the last of them."""
        commits = [record["commit"] for record in self._records().values()] + [current_commit()]
        return commits[0] if len(set(commits)) == 1 else f"{commits[0].split()[0]} to {commits[-1]}"

    def _records(self) -> dict[str, dict[str, Any]]:
        """Seconds and commit of the steps done so far, by name; those that all rows share among them."""
        files = (self.work / "steps.json", self.work / f"{self.row}-steps.json")
        return {k: v for file in files if file.exists() for k, v in json.loads(file.read_text()).items()}

    def _record(self, step: str, seconds: float) -> None:
        file = self.work / ("steps.json" if step in SHARED_STEPS else f"{self.row}-steps.json")
        records = json.loads(file.read_text()) if file.exists() else {}
        record = {"seconds": round(seconds, 1), "commit": current_commit()}
        with new_output_file(file) as path:
            path.write_text(json.dumps(records | {step: record}, indent=2) + "\n")
