"""What a recipe says: how to train both stages on a data set, from its captions to weights."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.data.batch import PairShape
from mxqvae.data.warping import WarpingConfig
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import GenerationConfig
from mxqvae.prior.reader import ReaderConfig
from mxqvae.prior.transformer import PriorConfig
from mxqvae.training.loop import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe:
    """How to train a reader beside a trained prior."""

    config: Callable[[AutoencoderConfig, PriorConfig], ReaderConfig]
    """The reader for a prior over the codes of an autoencoder."""
    training: TrainingConfig
    """How it learns."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train both stages, and a reader, on a data set, from its captions to weights."""

    name: str = ""
    """As in `RECIPES`, which sets it: model folders tell by what they were made. Empty: they do not."""
    description: str
    """One line: what it is for, and what it costs."""
    for_caption_mnist: bool = False
    """Whether it is for Caption MNIST alone; else it is for captioned images of any other kind."""
    num_processes: int
    """Processes that share each batch; part of the recipe, since it decides the random draws."""
    caption_length: int | None
    """Words of a padded caption where the data set brings no tokenizer; none: what the longest needs."""
    autoencoder: Callable[[PairShape], AutoencoderConfig]
    """The autoencoder for pairs of a shape."""
    autoencoder_training: TrainingConfig
    """How stage 1 learns."""
    autoencoder_from: str | None = None
    """Recipe whose trained stage 1 has all parts of this one's, for `stages.derive_autoencoder`."""
    prior: Callable[[AutoencoderConfig], PriorConfig]
    """The prior over the codes of an autoencoder."""
    prior_training: TrainingConfig
    """How stage 2 learns."""
    reader: ReaderRecipe | None = None
    """The reader, which finds images for captions; none: no table asks for it."""
    max_epochs: int | None = None
    """How often the training of a part sees a pair, at most: few pairs take fewer steps; none: no bound."""
    held_out_share: float = 0.0
    """Share of the training pairs that stage 2 and the reader do not learn from: the log tells how well they
    are predicted, and so how far the others are learned by heart. 0: none are held out."""
    max_epochs_of_codes: int | None = None
    """As `max_epochs`, of stage 2 and the reader where pairs are held out; none: no bound. After few the
    samples resemble nothing, after many the pairs are known by heart (docs/emoji.md)."""
    generation: GenerationConfig
    """How pairs are drawn; the weights carry it."""
    horizontal_flip: bool = False
    """Whether training mirrors half of the images; not where left and right mean something."""
    warping: WarpingConfig | None = None
    """How stage 1 sees each image, warped anew, and is to restore it; None: as it is. Stage 2 has the codes
    of images as they are: of warped ones it drew pairs that agreed less (docs/design.md)."""
    minutes: tuple[float, float] | None = None
    """What stage 1 and stage 2 take on two cores with bfloat16, about, at 64 pixels; none: not known."""

    def __post_init__(self) -> None:
        trainings = [self.autoencoder_training, self.prior_training]
        trainings += [] if self.reader is None else [self.reader.training]
        for training in trainings:
            if training.batch_size % self.num_processes:
                raise MxqvaeError(
                    f"batch_size {training.batch_size} does not divide among {self.num_processes} processes; "
                    f"give a multiple of {self.num_processes}"
                )

    def autoencoder_for(self, pairs: PairShape) -> AutoencoderConfig:
        """The autoencoder for pairs of a shape.

        Raises:
            MxqvaeError: The recipe's models cannot take them.
        """
        try:
            return self.autoencoder(pairs)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            remedy = "build the data set with another --max-length, or take another recipe, say pairs-cpu"
            raise MxqvaeError(f"{reason}; {remedy}") from None
