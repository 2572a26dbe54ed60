"""Table 3: rows on captioned images, from a data set that `mxqvae data` built to a score of their samples.

Beside the result there is a picture: the first samples.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from mxqvae.baselines.joint_gan import JointGANConfig
from mxqvae.baselines.latent_pairs import (
    LatentPairGenerator,
    LatentPairsTraining,
    mmvae_config,
    train_latent_pairs,
    with_seed,
)
from mxqvae.config import to_tree
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.evaluation.sentence_encoder import MiniLMEncoder
from mxqvae.evaluation.similarity import NUM_NEIGHBOURS, measure_similarity
from mxqvae.generation.contact_sheet import contact_sheet, write_picture
from mxqvae.generation.sample_folder import read_sample_folder
from mxqvae.recipes import find_recipe, fitting_recipe
from mxqvae.reproduction.captioned_images import (
    NUM_PICTURED,
    NUM_SAMPLES,
    CaptionedImagesReproduction,
    num_captioned,
)
from mxqvae.reproduction.rows import TABLE3_ROWS, Row, find_row
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import Table3Result, write_result

BASELINE = "joint-gan-mmvae"


@dataclass(frozen=True, kw_only=True)
class Table3Reproduction(CaptionedImagesReproduction):
    """Rows of Table 3 on one data set."""

    recipe: str = TABLE3_ROWS["mxqvae"].recipe
    """The recipe of the row MXQ-VAE."""
    reference_split: str = "test"
    """Split that the references come from."""
    baseline: LatentPairsTraining = LatentPairsTraining()
    """How the row Joint GAN + MMVAE learns."""
    num_samples: int = NUM_SAMPLES
    """Pairs to score."""

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name, or no data set with pairs enough.
        """
        row = find_row(TABLE3_ROWS, name)
        self._check_pairs()
        if name == BASELINE:
            row = Row(label=row.label, recipe=self._baseline_recipe)
            made = [self._baseline_step()]
            sampling = self._baseline_sampling_step(made[-1])
        else:
            row = Row(label=row.label, recipe=self.recipe)
            made = [*self.autoencoder_steps(self.recipe), self.prior_step(self.recipe)]
            sampling = self.recipe_sampling_step(self.recipe, made[-1], self.num_samples)
        result = f"table3-{self.data_set}-{row.recipe}-seed{self.seed}"
        scoring = Step(
            name=f"{sampling.name}/table3",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={"samples": sampling.settings, "references": self.reference_split},
            run=lambda: self._score(result, row, [*made, sampling]),
            minutes=10,
            made_from=(sampling,),
        )
        return [*made, sampling, scoring]

    def _check_pairs(self) -> None:
        """Refuse a data set that cannot be scored, or a recipe for another kind, before hours of training."""
        splits = self._manifest().splits
        fitting_recipe(self.data, self.recipe)
        # A test image is no reference of its own.
        others = NUM_NEIGHBOURS + (self.reference_split == "test")
        wanted = {"test": 2} | {self.reference_split: others}
        self.check_splits(*wanted)
        for split, fewest in wanted.items():
            if (num := num_captioned(splits[split])) < fewest:
                raise MxqvaeError(
                    f"data set {self.data}: {num} images of the split {split!r} have a caption, Table 3 "
                    f"needs {fewest}; build it with another --test-share or with more captions"
                )

    @property
    def _baseline_recipe(self) -> str:
        """The baseline by name; it mirrors images where the row beside it does."""
        return f"{BASELINE}-mirrored" if find_recipe(self.recipe).horizontal_flip else BASELINE

    def _baseline_step(self) -> Step:
        mirrors = find_recipe(self.recipe).horizontal_flip
        training = replace(with_seed(self.baseline, self.seed), horizontal_flip=mirrors)
        out = self.model_folder(self._baseline_recipe)

        def train() -> float:
            return train_latent_pairs(self.data, out, training, progress=self.progress)

        config = mmvae_config(self.pair_shape(find_recipe(self.recipe)))
        parts: dict[str, Any] = {
            "mmvae": to_tree(training.mmvae),
            "joint_gan": to_tree(training.joint_gan),
            "model": to_tree(config),
            "joint_gan_model": to_tree(JointGANConfig(joint_size=config.joint_size)),
        }
        if mirrors:
            parts["horizontal_flip"] = mirrors
        return Step(
            name=out.name,
            cost="prior",
            made=out / "joint_gan" / "config.json",
            settings={**self.data_settings, **parts},
            run=train,
            minutes=self.minutes(75),
        )

    def _baseline_sampling_step(self, model: Step) -> Step:
        folder = self.model_folder(self._baseline_recipe)
        return self.sampling_step(
            folder.name,
            model,
            None,
            lambda: LatentPairGenerator.from_pretrained(folder).sample(self.num_samples, seed=self.seed),
            self.num_samples,
        )

    def _score(self, result: str, row: Row, made: list[Step]) -> float:
        started = time.monotonic()
        samples = read_sample_folder(made[-1].made)
        test = PairDataset.from_parquet(self.data, "test")
        is_test = self.reference_split == "test"
        comparison = measure_similarity(
            PairDataset(torch.from_numpy(samples.images), samples.captions),
            test,
            test if is_test else PairDataset.from_parquet(self.data, self.reference_split),
            EfficientNetFeatures.from_package(),
            MiniLMEncoder.from_package(),
            progress=self.progress,
        )
        sheet = contact_sheet(samples.images[:NUM_PICTURED], samples.captions[:NUM_PICTURED])
        write_picture(self.results / f"{result}.png", sheet)
        seconds = time.monotonic() - started
        run = self.run_record(result, row, made, seconds)
        write_result(
            Table3Result(
                **run,
                data_set=self.data_set,
                references=self.reference_split,
                pairs=self.pairs_used(),
                figures=comparison,
            ),
            self.results,
        )
        return seconds
