"""Rows on captioned images that `mxqvae data` built, each data set in a work folder of its own."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxqvae.config import from_json, to_tree
from mxqvae.data.batch import PairShape
from mxqvae.data.captioned_images.manifest import Manifest
from mxqvae.data.captioned_images.shards import SplitCounts
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.device import find_device
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator, SampledPairs
from mxqvae.generation.sample_folder import WrittenPairs, write_sample_folder
from mxqvae.recipes import Recipe, find_recipe
from mxqvae.reproduction.rows import Reproduction, timed
from mxqvae.reproduction.work_folder import Step
from mxqvae.results import PairsUsed

NUM_SAMPLES = 1000
"""Pairs that are sampled and scored; how many the paper scored is not known."""
NUM_PICTURED = 32
_BUILDERS = "as `mxqvae data folder`, `flowers102`, `cub200`, `coco` and `emoji` build them"


@dataclass(frozen=True, kw_only=True)
class CaptionedImagesReproduction(Reproduction):
    """Rows on one data set; those of several tables share the models in a work folder."""

    data: Path
    """Folder of the data set."""
    data_set: str
    """Its name in the table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"\w[\w.-]*", self.data_set):
            raise MxqvaeError(
                f"--data-set {self.data_set!r} names files; use letters, digits, dots, - and _ alone"
            )

    @property
    def data_folder(self) -> Path:
        """As given."""
        return self.data

    @property
    def data_settings(self) -> dict[str, Any]:
        """The hash of its manifest: equal manifests mean equal data sets."""
        manifest = (self.data / MANIFEST_FILE).read_bytes().rstrip()
        return {"data_set": self.data_set, "manifest": hashlib.sha256(manifest).hexdigest()}

    @property
    def image_size(self) -> int:
        """What the manifest says."""
        return self._manifest().config.image_size

    @property
    def num_pairs(self) -> int:
        """The training captions that the manifest counts."""
        return self._manifest().splits["train"].num_captions

    def pair_shape(self, recipe: Recipe) -> PairShape:
        """What the manifest says, whatever the recipe."""
        tokenizer = self._manifest().tokenizer
        return PairShape(tokenizer.vocab_size, tokenizer.max_length, self.image_size)

    def check_splits(self, *names: str) -> None:
        """Refuse a data set without one of these splits, before hours of training.

        Raises:
            MxqvaeError: No data set, or no such split.
        """
        splits = self._manifest().splits
        for name in names:
            if name not in splits:
                raise MxqvaeError(f"data set {self.data}: no split {name!r}; it has {', '.join(splits)}")

    def recipe_sampling_step(self, recipe: str, prior: Step, num_samples: int) -> Step:
        """Pairs of the recipe's model, drawn as the recipe says; shared by whoever asks for as many."""
        folder, drawn_as = self.model_folder(recipe), find_recipe(recipe).generation

        def batches() -> Iterator[SampledPairs]:
            generator = PairGenerator.from_pretrained(folder).to(find_device())
            return generator.sample(num_samples, seed=self.seed, generation=drawn_as)

        return self.sampling_step(folder.name, prior, drawn_as, batches, num_samples)

    def sampling_step(
        self,
        model_name: str,
        model: Step,
        drawn_as: GenerationConfig | None,
        batches: Callable[[], Iterable[WrittenPairs]],
        num_samples: int,
    ) -> Step:
        """A folder of `num_samples` pairs that `batches()` draws from the model of a step.

        Args:
            model_name: Of its folder.
            drawn_as: How a generator draws; None where there is one way only.
        """
        out = self.work / f"{model_name}-samples"

        def sample() -> None:
            with self.progress.task("sample", total=num_samples, unit="pairs") as advance:
                write_sample_folder(batches(), out, seed=self.seed, overwrite=True, advance=advance)

        return Step(
            name=out.name,
            cost="sampling",
            made=out,
            settings={
                "model": model.settings,
                "generation": None if drawn_as is None else to_tree(drawn_as),
                "num_samples": num_samples,
            },
            run=lambda: timed(sample),
            minutes=self.minutes(2),
            made_from=(model,),
        )

    def pairs_used(self) -> PairsUsed:
        """What the data set holds, for a result."""
        manifest = self._manifest()
        train, test = manifest.splits["train"], manifest.splits["test"]
        return PairsUsed(
            num_training_images=train.num_images,
            num_training_captions=train.num_captions,
            captioned_share=num_captioned(train) / train.num_images,
            num_test_images=num_captioned(test),
            image_size=manifest.config.image_size,
            pairing_note=manifest.config.pairing_note,
        )

    def _manifest(self) -> Manifest:
        path = self.data / MANIFEST_FILE
        try:
            text = path.read_bytes()
            name = json.loads(text)["name"]
        except (OSError, ValueError, KeyError, TypeError):
            raise MxqvaeError(f"{path} is missing or damaged; build the data set, {_BUILDERS}") from None
        if name != Manifest.name:
            raise MxqvaeError(f"{path} is of the kind {name!r}; take captioned images, {_BUILDERS}")
        return from_json(Manifest, text, str(path))


def num_captioned(split: SplitCounts) -> int:
    """Images with a caption; every row has an image, a caption, or both."""
    return split.num_images - split.num_images_without_caption
