"""Table 2: rows from the raw digits to a score of 10,000 samples.

Beside the result there is a picture: the first samples, each with the judge's word on it. `table2.png` has
those of all rows.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import eq
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from mxqvae.config import to_tree
from mxqvae.data.mnist import load_mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.encoding import encode_pairs
from mxqvae.evaluation.consistency import (
    SlotReader,
    is_consistent,
    measure_bounds,
    read_pairs,
    score_consistency,
)
from mxqvae.evaluation.diversity import measure_diversity
from mxqvae.evaluation.judge import Judge, JudgeConfig
from mxqvae.evaluation.judge_training import train_judge
from mxqvae.evaluation.likelihood import image_positions_of, measure_likelihood
from mxqvae.evaluation.memorization import kinds_of, measure_memorization, reconstruct_pairs
from mxqvae.generation.contact_sheet import contact_sheet, write_picture
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator
from mxqvae.generation.sample_folder import SampleFolder, read_sample_folder
from mxqvae.recipes import find_recipe
from mxqvae.reproduction.rows import (
    TABLE2_EXTRA_ROWS,
    TABLE2_ROWS,
    CaptionMnistReproduction,
    Row,
    find_row,
)
from mxqvae.reproduction.sampling import sample_in_parts
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import Table2Figures, Table2Result, write_result

NUM_SAMPLES = 10_000
"""Pairs that are sampled and scored (official code)."""
NUM_PICTURED = 8


def _ways(generation: GenerationConfig) -> dict[str, GenerationConfig]:
    """How pairs are drawn for each score: as the recipe says, and without its later steps."""
    refined = generation.without_redraws()
    return {
        "samples_as_drawn": replace(refined, num_refinements=0),
        "samples_refined": refined,
        "samples": generation,
    }


def _sampling_minutes(generation: GenerationConfig, num_codes: int, num_samples: int) -> float:
    """What sampling takes on two cores, about, after 10,000 pairs of 72 codes on a machine without bfloat16.

    As drawn they took 4.0 minutes, refined twice 8.6, with redraws as well 13.6.
    """
    per_10_000 = 4.0 * num_codes / 72 + 2.3 * generation.num_refinements
    if generation != generation.without_redraws():
        per_10_000 += 5.0
    return round(per_10_000 * num_samples / 10_000, 1)


def share_drawn_anew(samples: SampleFolder, first_draws: SampleFolder) -> float:
    """Share of `samples` that are not the first draw of their number."""
    images = (samples.images != first_draws.images).reshape(len(samples.images), -1).any(1)
    captions = np.array(samples.captions) != np.array(first_draws.captions)
    return float((images | captions).mean())


@dataclass(frozen=True, kw_only=True)
class Table2Reproduction(CaptionMnistReproduction):
    """Rows of Table 2 in a work folder."""

    judge: JudgeConfig = JudgeConfig()
    """How the judge is trained."""
    num_samples: int = NUM_SAMPLES
    """Pairs to score."""

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name.
        """
        row = find_row(TABLE2_ROWS | TABLE2_EXTRA_ROWS, name)
        prior = self.prior_step(row.recipe)
        data = [self.data_step(), self.prior_data_step()]
        judge = self._judge_step()
        made = [*data, judge, *self.autoencoder_steps(row.recipe), prior]
        ways = _ways(find_recipe(row.recipe).generation)
        # Two that are the same are sampled once, under the later name.
        sampling = {way: self._sampling_step(row, prior, figure, way) for figure, way in ways.items()}
        made += sampling.values()
        result = f"table2-{name}-seed{self.seed}"
        scoring = Step(
            name=f"{self.model_folder(row.recipe).name}/table2",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={"samples": sampling[ways["samples"]].settings, "judge": to_tree(self.judge)},
            run=lambda: self._score(
                result, row, made, {figure: sampling[way] for figure, way in ways.items()}
            ),
            minutes=6,
            made_from=(*sampling.values(), judge),
        )
        return [*made, scoring]

    def picture_rows(self, results: Sequence[Table2Result]) -> Path | None:
        """Draw a line for each row that has a result, by its lowest seed, and kept its samples.

        Every line shows the samples of the same numbers, as drawn, each with the judge's word on it.

        Returns:
            The picture; None where no row has kept samples.
        """
        kept: dict[str, Path] = {}
        for run in sorted(results, key=lambda run: run.seed):
            # Rows whose recipe does nothing to its draws have one folder.
            for figure in ("samples_as_drawn", "samples"):
                folder = replace(self, seed=run.seed)._samples_folder(run.recipe, figure)
                if folder.is_dir():
                    kept.setdefault(run.row, folder)
        lines = {
            row.label: read_sample_folder(kept[row.label], NUM_PICTURED)
            for row in (TABLE2_ROWS | TABLE2_EXTRA_ROWS).values()
            if row.label in kept
        }
        if not lines:
            return None
        path = self.results / "table2.png"
        write_row_sheet(path, lines, Judge.from_pretrained(self.work / "judge"))
        return path

    def _judge_step(self) -> Step:
        folder = self.work / "judge"

        def train() -> float:
            judge = train_judge(load_mnist(self.mnist), self.judge, folder / "run", progress=self.progress)
            judge.save_pretrained(folder)
            return judge.record.training_seconds

        return Step(
            name="judge",
            cost="judge",
            made=folder / "config.json",
            settings={"judge": to_tree(self.judge)},
            run=train,
            minutes=5,
        )

    def _sampling_step(self, row: Row, prior: Step, figure: str, generation: GenerationConfig) -> Step:
        model = self.model_folder(row.recipe)
        out = self._samples_folder(row.recipe, figure)
        num_codes = prior.settings["model"]["sequence_length"]

        def sample() -> float:
            return sample_in_parts(
                model,
                out,
                num=self.num_samples,
                seed=self.seed,
                generation=generation,
                progress=self.progress,
            )

        return Step(
            name=out.name,
            cost="sampling",
            made=out,
            settings={
                "prior": prior.settings,
                "generation": to_tree(generation),
                "num_samples": self.num_samples,
            },
            run=sample,
            minutes=_sampling_minutes(generation, num_codes, self.num_samples),
            made_from=(prior,),
        )

    def _samples_folder(self, recipe: str, figure: str = "samples") -> Path:
        return self.work / f"{self.model_folder(recipe).name}-{figure.replace('_', '-')}"

    def _score(self, result: str, row: Row, made: list[Step], sampled: Mapping[str, Step]) -> float:
        started = time.monotonic()
        judge = Judge.from_pretrained(self.work / "judge")
        folders = {step.made: read_sample_folder(step.made) for step in sampled.values()}
        scores = {
            made: score_consistency(torch.from_numpy(folder.images), folder.captions, judge)
            for made, folder in folders.items()
        }
        train, test = (PairDataset.from_parquet(self.data_folder, split) for split in ("train", "test"))
        bounds = measure_bounds(test.images, test.captions, judge)
        generator = PairGenerator.from_pretrained(self.model_folder(row.recipe))
        indices = encode_pairs(generator.autoencoder, generator.tokenizer, test, progress=self.progress)
        reconstructed = reconstruct_pairs(generator, indices)
        positions = image_positions_of(generator.autoencoder.config)
        samples, refined = (folders[sampled[figure].made] for figure in ("samples", "samples_refined"))
        figures = Table2Figures(
            **{figure: scores[step.made] for figure, step in sampled.items()},
            drawn_anew=share_drawn_anew(samples, refined),
            ceiling=bounds.ceiling,
            floor=bounds.floor,
            judge_accuracy=judge.record.test_accuracy,
            diversity=measure_diversity(samples.captions, train.captions),
            memorization=measure_memorization(
                torch.from_numpy(samples.images),
                train.images,
                test.images,
                reconstructed.images,
                kinds=kinds_of(samples.captions, test),
                progress=self.progress,
            ),
            likelihood=measure_likelihood(generator.prior, indices, positions),
            restored_captions=fmean(map(eq, reconstructed.captions, test.captions)),
            reconstructed=score_consistency(reconstructed.images, reconstructed.captions, judge),
        )
        first = SampleFolder(samples.images[:NUM_PICTURED], samples.captions[:NUM_PICTURED])
        _write_sheet(self.results / f"{result}.png", first, _verdicts(first, judge), NUM_PICTURED)
        seconds = time.monotonic() - started
        run = self.run_record(result, row, made, seconds)
        write_result(Table2Result(**run, figures=figures), self.results)
        return seconds


def write_row_sheet(path: Path, lines: Mapping[str, SampleFolder], judge: SlotReader) -> None:
    """Draw the same samples of several rows, by their labels, a line for each, as a PNG file.

    Samples that one of them lacks are left out.
    """
    columns = min(len(line.captions) for line in lines.values())
    images, captions, verdicts = [], [], []
    for label, line in lines.items():
        pairs = SampleFolder(line.images[:columns], line.captions[:columns])
        images.append(pairs.images)
        captions += [f"{label}, sample {number}: {text}" for number, text in enumerate(pairs.captions)]
        verdicts += _verdicts(pairs, judge)
    _write_sheet(path, SampleFolder(np.concatenate(images), captions), verdicts, columns)


def _verdicts(pairs: SampleFolder, judge: SlotReader) -> list[bool]:
    read = read_pairs(torch.from_numpy(pairs.images), pairs.captions, judge)
    return list(map(is_consistent, read))


def _write_sheet(path: Path, pairs: SampleFolder, verdicts: Sequence[bool], columns: int) -> None:
    sheet = contact_sheet(*pairs, columns=columns, verdicts=verdicts)
    write_picture(path, sheet)
