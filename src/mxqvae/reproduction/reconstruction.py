"""What stage 1 of a recipe makes of the test images of a data set of captioned images."""

import time
from dataclasses import dataclass

from mxqvae.data.pairs import PairDataset
from mxqvae.encoding import reconstruct_images
from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.evaluation.image_quality import measure_image_quality
from mxqvae.generation.pipeline import load_autoencoder, load_tokenizer
from mxqvae.recipes import fitting_recipe
from mxqvae.reproduction.captioned_images import CaptionedImagesReproduction
from mxqvae.reproduction.rows import TABLE3_ROWS, Row
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import ReconstructionResult, write_result


@dataclass(frozen=True, kw_only=True)
class ReconstructionReproduction(CaptionedImagesReproduction):
    """Recipes on one data set."""

    def steps(self, name: str) -> list[Step]:
        """What the recipe `name` takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No recipe of that name or one for other pairs, no data set, or one without a split.
        """
        self.check_splits("train", "test")
        fitting_recipe(self.data, name)
        made = self.autoencoder_steps(name)
        result = f"reconstruction-{self.data_set}-{name}-seed{self.seed}"
        scoring = Step(
            name=f"{self.model_folder(name).name}/reconstruction",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={"stage1": made[-1].settings},
            run=lambda: self._reconstruct(result, name, made),
            minutes=3,
            made_from=made[-1:],
        )
        return [*made, scoring]

    def _reconstruct(self, result: str, recipe: str, made: list[Step]) -> float:
        started = time.monotonic()
        folder = self.model_folder(recipe)
        autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
        pairs = PairDataset.from_parquet(self.data, "test").one_per_image()
        decoded = reconstruct_images(autoencoder, tokenizer, pairs, progress=self.progress)
        features = EfficientNetFeatures.from_package()
        score = measure_image_quality(pairs.images, decoded, features, progress=self.progress)
        seconds = time.monotonic() - started
        row = Row(label=TABLE3_ROWS["mxqvae"].label, recipe=recipe)
        write_result(
            ReconstructionResult(
                **self.run_record(result, row, made, seconds),
                data_set=self.data_set,
                image_size=autoencoder.config.image_size,
                perceptual_weight=autoencoder.config.perceptual_weight,
                figures=score,
            ),
            self.results,
        )
        return seconds
