"""The rows of the paper's tables, and the steps that make their models."""

import datetime
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.config import to_tree
from mxqvae.data import caption_mnist
from mxqvae.data.batch import PairShape
from mxqvae.data.caption_mnist import IMAGE_SIZE, CaptionMnistConfig, build_caption_mnist, example_captions
from mxqvae.data.mnist import load_mnist
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.data.validation_split import FEWEST_PAIRS
from mxqvae.errors import MxqvaeError
from mxqvae.prior.transformer import PriorConfig
from mxqvae.progress import NoProgress, Progress
from mxqvae.provenance import list_versions
from mxqvae.recipes import Recipe, find_recipe
from mxqvae.reproduction.work_folder import Step, WorkFolder, version_setting
from mxqvae.results import Cost
from mxqvae.stages import derive_autoencoder, train_autoencoder, train_prior
from mxqvae.training.checkpoint import num_steps_done
from mxqvae.training.loop import TrainingConfig, within_epochs

NUM_EXAMPLES = 1000
"""Captions that hold every word of the language."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    label: str
    """Its name in the paper."""
    recipe: str
    """The recipe that makes it."""


TABLE1_ROWS = {
    "only-sharing-c": Row(label="Only Sharing C", recipe="caption-mnist-cpu-only-sharing-c"),
    "without-tc": Row(label="MXQ-VAE w/o TC", recipe="caption-mnist-cpu-without-tc"),
    "without-im": Row(label="MXQ-VAE w/o IM", recipe="caption-mnist-cpu-without-im"),
    "mxqvae": Row(label="MXQ-VAE", recipe="caption-mnist-cpu"),
}
WARPED = Row(label="MXQ-VAE, warped digits", recipe="caption-mnist-cpu-warped")
TABLE1_EXTRA_ROWS = {
    "warped": WARPED,
    "masks-only": Row(label="MXQ-VAE, masks only", recipe="caption-mnist-cpu-masks-only"),
    "without-tc-masks-only": Row(
        label="MXQ-VAE w/o TC, masks only", recipe="caption-mnist-cpu-without-tc-masks-only"
    ),
}
"""Rows that the paper does not have: digits that nobody wrote, and what masks do without the lies in our IM
(docs/table1.md)."""
TABLE2_ROWS = {
    "i-t": Row(label="I&T", recipe="caption-mnist-cpu-i-t"),
    "t-i": Row(label="T&I", recipe="caption-mnist-cpu-t-i"),
    "i-t-emb": Row(label="I_T_Emb", recipe="caption-mnist-cpu-i-t-emb"),
    "t-emb-i": Row(label="T_Emb_I", recipe="caption-mnist-cpu-t-emb-i"),
    "mxqvae": Row(label="MXQ-VAE", recipe="caption-mnist-cpu"),
}
TABLE2_EXTRA_ROWS = {"warped": WARPED}
"""The same of Table 2."""
TABLE3_ROWS = {
    "joint-gan-mmvae": Row(label="Joint GAN + MMVAE", recipe="joint-gan-mmvae"),
    "mxqvae": Row(label="MXQ-VAE", recipe="photos-cpu"),
}

RECONSTRUCTION_RECIPES = ("photos-cpu", "photos-cpu-perceptual")
"""The paper's image loss, and the same with a perceptual one."""


def find_row(rows: Mapping[str, Row], name: str) -> Row:
    """The row of this name.

    Raises:
        MxqvaeError: There is none; lists those there are.
    """
    if name not in rows:
        raise MxqvaeError(f"unknown row {name!r}; choose from {', '.join(rows)}")
    return rows[name]


@dataclass(frozen=True, kw_only=True)
class Reproduction(ABC):
    """Where rows are reproduced, and how their models are made."""

    work: Path
    """Folder for data, models and samples; kept."""
    results: Path
    """Folder for the result files."""
    seed: int = 0
    """Seed of training and sampling; the data set's own seed stays."""
    progress: Progress = NoProgress()
    """Where the run says how far it is."""

    def __post_init__(self) -> None:
        if self.seed >= 2**32:  # which training would refuse, after the steps before it
            raise MxqvaeError(f"--seed must be below {2**32}, got {self.seed}")

    @abstractmethod
    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name.
        """

    @property
    @abstractmethod
    def data_folder(self) -> Path:
        """Where the data set is, or will be once its step has run."""

    @property
    @abstractmethod
    def data_settings(self) -> dict[str, Any]:
        """Whatever decides what is in the data set; plain JSON."""

    @property
    def data_from(self) -> Sequence[Step]:
        """The steps that trained or drew what is in it; none where it is the same whenever it is built."""
        return ()

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Side of the data set's images in pixels."""

    @property
    def prior_data_folder(self) -> Path:
        """Where stage 2 finds the pairs it learns from."""
        return self.data_folder

    @property
    def prior_data_settings(self) -> dict[str, Any]:
        """Whatever decides what these are, where they are others than stage 1's."""
        return {}

    @property
    def num_pairs(self) -> int | None:
        """Pairs to learn from, about; none: enough for all steps of every recipe."""
        return None

    @abstractmethod
    def pair_shape(self, recipe: Recipe) -> PairShape:
        """What the data set's pairs look like to the recipe's models."""

    @property
    def folder(self) -> WorkFolder:
        """The work folder with its records."""
        return WorkFolder(self.work, self.progress)

    def model_folder(self, recipe: str) -> Path:
        """The folder of the model that a recipe makes."""
        return self.work / f"{recipe}-seed{self.seed}"

    def autoencoder_steps(self, name: str) -> list[Step]:
        """Stage 1 of the recipe `name`, after that of the recipe it takes its parts from."""
        recipe, out = find_recipe(name), self.model_folder(name)
        if recipe.autoencoder_from is not None:
            earlier = self.autoencoder_steps(recipe.autoencoder_from)
            source = self.model_folder(recipe.autoencoder_from)
            settings = {
                **earlier[-1].settings,
                "arranged_for": name,
                "model": to_tree(self._models(recipe)[0]),
            }
            return [
                *earlier,
                self._autoencoder_step(
                    out,
                    settings,
                    0.1,
                    lambda: timed(lambda: derive_autoencoder(recipe, source, out)),
                    earlier[-1:],
                ),
            ]

        def train() -> float:
            return train_autoencoder(recipe, self.data_folder, out, seed=self.seed, progress=self.progress)

        settings = {
            **self._settings(name, recipe, self._models(recipe)[0], recipe.autoencoder_training),
            **({} if recipe.warping is None else {"warping": to_tree(recipe.warping)}),
        }
        minutes = recipe.minutes and _minutes_left(
            recipe.minutes[0],
            out / "runs" / "autoencoder",
            recipe.autoencoder_training,
            self.num_pairs,
            recipe.max_epochs,
        )
        return [self._autoencoder_step(out, settings, self.minutes(minutes), train, self.data_from)]

    def prior_step(self, name: str) -> Step:
        """Stage 2 of the recipe `name`."""
        recipe, out = find_recipe(name), self.model_folder(name)
        stage1 = self.autoencoder_steps(name)[-1]
        return Step(
            name=f"{out.name}/prior",
            cost="prior",
            made=out / "prior" / "config.json",
            settings={
                "stage1": stage1.settings,
                **self._settings(name, recipe, self._models(recipe)[1], recipe.prior_training),
                **self.prior_data_settings,
            },
            run=lambda: train_prior(
                recipe, self.prior_data_folder, out, seed=self.seed, progress=self.progress
            ),
            minutes=self.minutes(
                recipe.minutes
                and _minutes_left(
                    recipe.minutes[1],
                    out / "runs" / "prior",
                    recipe.prior_training,
                    # Mirrored pairs are further pairs.
                    self.num_pairs and self.num_pairs * (1 + recipe.horizontal_flip),
                    recipe.max_epochs_of_codes if self._are_held_out(recipe) else recipe.max_epochs,
                )
            ),
            made_from=(stage1,),
            run_folder=out / "runs" / "prior",
        )

    def minutes(self, at_64_pixels: float | None) -> float | None:
        """What takes so many minutes for images of 64 pixels takes this many for the data set's, about."""
        return at_64_pixels and round(at_64_pixels * (self.image_size / 64) ** 2, 1)

    def run_record(self, result: str, row: Row, made: Sequence[Step], scoring: float) -> dict[str, Any]:
        """The fields of `results.Run` for a result made by these steps, scored in `scoring` seconds."""
        costs = dict.fromkeys(Cost.__dataclass_fields__, 0.0) | {"scoring": scoring}
        for step in made:
            costs[step.cost] += self.folder.seconds(step)
        return {
            "name": result,
            "row": row.label,
            "recipe": row.recipe,
            "seed": self.seed,
            "commit": self.folder.commits(made),
            "hardware": self.folder.hardware(made),
            "versions": list_versions(),
            "cost": Cost(**{kind: round(cost, 3) for kind, cost in costs.items()}),
            "date": datetime.date.today(),
        }

    def _autoencoder_step(
        self,
        out: Path,
        settings: Mapping[str, Any],
        minutes: float | None,
        run: Callable[[], float],
        made_from: Sequence[Step],
    ) -> Step:
        return Step(
            name=f"{out.name}/autoencoder",
            cost="autoencoder",
            made=out / "autoencoder" / "config.json",
            settings=settings,
            run=run,
            minutes=minutes,
            made_from=made_from,
            run_folder=out / "runs" / "autoencoder",
        )

    def _settings(
        self, name: str, recipe: Recipe, model: AutoencoderConfig | PriorConfig, training: TrainingConfig
    ) -> dict[str, Any]:
        return {
            **self.data_settings,
            "recipe": name,
            "seed": self.seed,
            "processes": recipe.num_processes,
            "model": to_tree(model),
            "training": to_tree(training),
            **({} if recipe.max_epochs is None else {"max_epochs": recipe.max_epochs}),
            **({"held_out_share": recipe.held_out_share} if recipe.held_out_share else {}),
            **({"max_epochs_of_codes": recipe.max_epochs_of_codes} if recipe.max_epochs_of_codes else {}),
        }

    def _are_held_out(self, recipe: Recipe) -> bool:
        return recipe.held_out_share > 0 and (self.num_pairs is None or self.num_pairs >= FEWEST_PAIRS)

    def _models(self, recipe: Recipe) -> tuple[AutoencoderConfig, PriorConfig]:
        """Both stages of a recipe for the data set."""
        autoencoder = recipe.autoencoder_for(self.pair_shape(recipe))
        return autoencoder, recipe.prior(autoencoder)


def _minutes_left(
    minutes: float, run: Path, training: TrainingConfig, num_pairs: int | None, max_epochs: int | None
) -> float:
    """What is left, by the checkpoint in the folder `run`, of a training that takes `minutes` in full."""
    num_steps = training.num_steps
    if max_epochs is not None and num_pairs is not None:
        num_steps = within_epochs(training, num_pairs, max_epochs).num_steps
    return round(minutes * max(0, num_steps - num_steps_done(run)) / training.num_steps, 1)


@dataclass(frozen=True, kw_only=True)
class CaptionMnistReproduction(Reproduction):
    """Rows from the raw digits."""

    mnist: Path | None = None
    """Folder of the raw digits; none: cache or download."""
    data: CaptionMnistConfig = CaptionMnistConfig()
    """The data set."""
    prior_data: CaptionMnistConfig = CaptionMnistConfig(num_train=300_000)
    """What stage 2 learns from: more pairs of the same training digits, the first of them those of `data`.

    Of 60,000 it memorizes which digits stand together (docs/design.md).
    """

    @property
    def data_folder(self) -> Path:
        """In the work folder."""
        return self.work / "data"

    @property
    def data_settings(self) -> dict[str, Any]:
        """Its config and the builder's version."""
        return {"data": _built_with(self.data)}

    def pair_shape(self, recipe: Recipe) -> PairShape:
        """That of the language of Caption MNIST; known before there is any data."""
        tokenizer = CaptionTokenizer.train(example_captions(NUM_EXAMPLES), recipe.caption_length)
        return PairShape(tokenizer.vocab_size, tokenizer.max_length, IMAGE_SIZE)

    @property
    def image_size(self) -> int:
        """Caption MNIST's."""
        return IMAGE_SIZE

    @property
    def prior_data_folder(self) -> Path:
        """In the work folder."""
        return self.work / "prior-data"

    @property
    def prior_data_settings(self) -> dict[str, Any]:
        """Its config and the builder's version."""
        return {"prior_data": _built_with(self.prior_data)}

    def data_step(self) -> Step:
        """Caption MNIST, shared by all rows."""
        return self._build_step(self.data, self.data_folder, self.data_settings, minutes=0.5)

    def prior_data_step(self) -> Step:
        """Caption MNIST as stage 2 learns it, shared by all rows."""
        return self._build_step(self.prior_data, self.prior_data_folder, self.prior_data_settings, minutes=2)

    def _build_step(
        self, config: CaptionMnistConfig, out: Path, settings: dict[str, Any], *, minutes: float
    ) -> Step:
        def build() -> float:
            digits = load_mnist(self.mnist)
            return timed(
                lambda: build_caption_mnist(config, digits, out, overwrite=True, progress=self.progress)
            )

        return Step(name=out.name, cost="data", made=out, settings=settings, run=build, minutes=minutes)


def _built_with(config: CaptionMnistConfig) -> dict[str, Any]:
    return to_tree(config) | version_setting(caption_mnist.VERSION)


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work()` takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
