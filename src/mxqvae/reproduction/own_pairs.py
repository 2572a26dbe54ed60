"""A recipe on captioned images of any kind: both stages, samples, and what can be measured without a judge.

Beside the result there are two pictures: the first samples, and the samples nearest to training images.
"""

import time
from dataclasses import dataclass

import torch

from mxqvae.config import changed, to_tree
from mxqvae.data.pairs import PairDataset
from mxqvae.encoding import reconstruct_images
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.contrastive import JointEmbedding
from mxqvae.evaluation.contrastive_training import MAX_EPOCHS, TRAINING, train_contrastive
from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.evaluation.image_quality import measure_image_quality
from mxqvae.evaluation.likelihood import image_positions_of, measure_pairs, score_likelihood
from mxqvae.evaluation.memorization import find_neighbours, neighbour_sheet, score_neighbours
from mxqvae.evaluation.retrieval import NUM_CANDIDATES, measure_retrieval
from mxqvae.generation.contact_sheet import contact_sheet, write_picture
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.generation.sample_folder import read_sample_folder
from mxqvae.recipes import find_recipe, fitting_recipe
from mxqvae.reproduction.captioned_images import (
    NUM_PICTURED,
    NUM_SAMPLES,
    CaptionedImagesReproduction,
    num_captioned,
)
from mxqvae.reproduction.rows import TABLE3_ROWS, Row, timed
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import PairsFigures, PairsResult, write_result
from mxqvae.training.loop import TrainingConfig, within_epochs


@dataclass(frozen=True, kw_only=True)
class OwnPairsReproduction(CaptionedImagesReproduction):
    """Recipes on one data set."""

    embedding: TrainingConfig = TRAINING
    """How the joint embedding learns by which captions look for their images."""
    num_samples: int = NUM_SAMPLES
    """Pairs to score."""
    num_candidates: int = NUM_CANDIDATES
    """Images that a caption chooses from."""

    def steps(self, name: str) -> list[Step]:
        """What the recipe `name` takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No recipe of that name, one for other pairs, no data set, or too few test images.
        """
        self._check_pairs(name)
        made = [*self.autoencoder_steps(name), self.prior_step(name), self._embedding_step()]
        sampling = self.recipe_sampling_step(name, made[-2], self.num_samples)
        result = f"pairs-{self.data_set}-{name}-seed{self.seed}"
        scoring = Step(
            name=f"{sampling.name}/pairs",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={"samples": sampling.settings, "embedding": made[-1].settings},
            run=lambda: self._score(result, name, [*made, sampling]),
            minutes=3,
            made_from=(sampling, made[-1]),
        )
        return [*made, sampling, scoring]

    def _check_pairs(self, name: str) -> None:
        self.check_splits("train", "test")
        fitting_recipe(self.data, name)
        if (num := num_captioned(self._manifest().splits["test"])) < self.num_candidates:
            raise MxqvaeError(
                f"data set {self.data}: {num} images of the split 'test' have a caption, the measure needs "
                f"{self.num_candidates}; build it with more pairs or a greater --test-share, or look at "
                "fewer by `mxqvae evaluate retrieval --candidates`"
            )

    @property
    def _embedding_folder(self) -> str:
        return f"embedding-seed{self.seed}"

    def _embedding_step(self) -> Step:
        """The joint embedding, shared by all recipes: it reads real training pairs alone."""
        out = self.work / self._embedding_folder
        training = changed(self.embedding, "training", seed=self.seed)
        fitted = within_epochs(training, self.num_pairs, MAX_EPOCHS)

        def train() -> None:
            pairs = PairDataset.from_parquet(self.data, "train")
            embedding = train_contrastive(pairs, training, out / "run", progress=self.progress)
            embedding.save_pretrained(out)

        return Step(
            name=out.name,
            cost="judge",
            made=out / "config.json",
            settings={**self.data_settings, "training": to_tree(training)},
            run=lambda: timed(train),
            minutes=self.minutes(round(30 * fitted.num_steps / training.num_steps, 1)),
        )

    def _score(self, result: str, recipe: str, made: list[Step]) -> float:
        started = time.monotonic()
        samples = read_sample_folder(made[-1].made)
        sampled = PairDataset(torch.from_numpy(samples.images), samples.captions)
        train, test = (PairDataset.from_parquet(self.data, split) for split in ("train", "test"))
        known, real = train.one_per_image(), test.one_per_image()
        generator = PairGenerator.from_pretrained(self.model_folder(recipe))
        decoded = reconstruct_images(generator.autoencoder, generator.tokenizer, real, progress=self.progress)
        found = find_neighbours(
            sampled.images,
            known.images,
            real.images,
            decoded,
            mirrored=find_recipe(recipe).horizontal_flip,
            progress=self.progress,
        )
        embedding = JointEmbedding.from_pretrained(self.work / self._embedding_folder)
        measured = measure_pairs(generator, real.whole(), progress=self.progress)
        figures = PairsFigures(
            retrieval=measure_retrieval(
                sampled, test, embedding, num_candidates=self.num_candidates, progress=self.progress
            ),
            memorization=score_neighbours(found),
            image_quality=measure_image_quality(
                real.images,
                decoded,
                EfficientNetFeatures.from_package(),
                sampled.images,
                progress=self.progress,
            ),
            likelihood=score_likelihood(measured, image_positions_of(generator.autoencoder.config)),
        )
        pictures = {
            f"{result}.png": contact_sheet(samples.images[:NUM_PICTURED], samples.captions[:NUM_PICTURED]),
            f"{result}-nearest.png": neighbour_sheet(
                sampled.images, sampled.captions, known.images, known.captions, found.samples
            ),
        }
        for name, picture in pictures.items():
            write_picture(self.results / name, picture)
        seconds = time.monotonic() - started
        row = Row(label=TABLE3_ROWS["mxqvae"].label, recipe=recipe)
        write_result(
            PairsResult(
                **self.run_record(result, row, made, seconds),
                data_set=self.data_set,
                pairs=self.pairs_used(),
                figures=figures,
            ),
            self.results,
        )
        return seconds
