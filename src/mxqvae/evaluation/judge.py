"""The judge of Caption MNIST: which slots an image shows, read cell by cell.

It looks at the image only. Layout, occupancy and colour are rules with fixed thresholds, set on real digits
and recorded with their margins below; a network that learnt from MNIST's training digits reads the digit.

N images, M cells that hold ink.
"""

import math
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mxqvae.config import configuration
from mxqvae.data.caption_grammar import CENTRE, COLOURS, QUADRANTS, Slot
from mxqvae.data.caption_mnist import IMAGE_SIZE
from mxqvae.data.mnist import DIGIT_SIZE, MnistDigits
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.digit_classifier import CELL_SIZE, DigitClassifier, DigitClassifierConfig
from mxqvae.pretrained import load_pretrained, read_config, save_pretrained
from mxqvae.training.loop import TrainingConfig

SHIPPED_JUDGE = Path(__file__).parent.parent / "weights" / "caption-mnist-judge"
"""The judge in this package; `README.md` beside it tells how it was trained."""

INK_LEVEL = 0.25
"""Intensity above which a pixel is ink. Noise of standard deviation 0.05 stays below it."""
MIN_INK_PIXELS = 12
"""Ink pixels that make a cell occupied. The slightest of MNIST's 70,000 digits has 26 (20 at 60% brightness,
31 under a blur of 1 pixel); an empty cell has 1 at most under noise of 0.05, and 10 at 0.08."""
MIN_CENTRED_SHARE = 0.8
"""Share of all ink inside the central cell that makes an image Single. It is 1 in every Single pair, and 0.58
at most in a pair with a digit in a quadrant."""
MAX_COLOUR_ANGLE = math.radians(25)
"""Largest angle in RGB between a digit's mean colour and the pure colour that it is called. White and the
other three are 55 degrees apart, those three 90. Yellow, or a digit half red and half blue, is no colour."""
UNCLEAR = "unclear"
"""The colour of a slot that has none of the four; equal to no caption's."""

POSITIONS = (*QUADRANTS, CENTRE)
"""Where the cells lie, in the order of `cut_cells`."""
IMAGES_AT_A_TIME = 500


@configuration
class JudgeConfig:
    """All that a judge is made from, beside the digits."""

    classifier: DigitClassifierConfig = DigitClassifierConfig()
    """The network that reads digits."""
    training: TrainingConfig = TrainingConfig(
        num_steps=4000, batch_size=256, learning_rate=6e-3, weight_decay=0.05, num_warmup_steps=800
    )
    """How it learns; a batch is of cells."""


@configuration
class JudgeRecord:
    """What a judge's folder says of it."""

    config: JudgeConfig
    """What it was made from."""
    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    """Share of MNIST's 10,000 test digits that it reads right, with the weights as stored."""
    training_seconds: Annotated[float, Field(ge=0)]
    """Time its training took."""


class Judge:
    """Reads the slots of images; see `mxqvae.evaluation.judge_training.train_judge`.

    Attributes:
        classifier: In eval mode.
        record: Its origin and accuracy.
    """

    def __init__(self, classifier: DigitClassifier, record: JudgeRecord) -> None:
        self.classifier = classifier.eval()
        self.record = record

    @classmethod
    def from_pretrained(cls, folder: Path = SHIPPED_JUDGE) -> "Judge":
        """Load a judge that `save_pretrained` wrote.

        Raises:
            MxqvaeError: A file that is missing, damaged or does not fit the other.
        """
        remedy = "train a judge with `mxqvae train judge`, or leave the folder out to take the shipped one"
        record = read_config(folder, JudgeRecord, remedy)
        return cls(load_pretrained(folder, JudgeRecord, _build_classifier, remedy), record)

    def save_pretrained(self, folder: Path) -> None:
        """Write `model.safetensors` (float16) and `config.json` into `folder`, each whole or not at all."""
        save_pretrained(folder, self.record, self.classifier)

    @torch.inference_mode()
    def read(self, images: Tensor) -> list[tuple[Slot, ...]]:
        """The slots that each image shows.

        A cell with ink always has a digit, the most likely one; its colour may be `UNCLEAR`.

        Args:
            images: (N, 64, 64, 3) uint8.

        Returns:
            For each image its slots in the order of `QUADRANTS`, or one at `CENTRE`; none without ink.

        Raises:
            MxqvaeError: Images of another size or type.
        """
        if images.dtype != torch.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3):
            raise MxqvaeError(
                f"the judge reads images of {IMAGE_SIZE} x {IMAGE_SIZE} pixels (uint8, RGB), not "
                f"{tuple(images.shape)} {images.dtype}; give it pairs of Caption MNIST"
            )
        return [slots for batch in images.split(IMAGES_AT_A_TIME) for slots in self._read_batch(batch)]

    def _read_batch(self, images: Tensor) -> list[tuple[Slot, ...]]:
        cells = cut_cells(images.float() / 255)
        present = find_digits(cells)
        if not present.any():  # pixel_unshuffle does not take an empty batch
            return [()] * len(images)
        image_numbers, cell_numbers = present.nonzero(as_tuple=True)
        shown = cells[image_numbers, cell_numbers]
        digits = self.classifier(ink(shown).unsqueeze(1)).argmax(-1)
        slots: list[list[Slot]] = [[] for _ in images]
        found = zip(
            image_numbers.tolist(), cell_numbers.tolist(), digits.tolist(), name_colours(shown), strict=True
        )
        for image, cell, digit, colour in found:
            slots[image].append(Slot(POSITIONS[cell], digit, colour))
        return [tuple(image_slots) for image_slots in slots]


def _build_classifier(record: JudgeRecord) -> DigitClassifier:
    return DigitClassifier(record.config.classifier)


def cut_cells(images: Tensor) -> Tensor:
    """The five cells of images (N, 64, 64, 3) in the order of `POSITIONS`: (N, 5, 32, 32, 3)."""
    middle = (IMAGE_SIZE - CELL_SIZE) // 2
    corners = [(y, x) for y in (0, CELL_SIZE) for x in (0, CELL_SIZE)] + [(middle, middle)]
    return torch.stack([images[:, y : y + CELL_SIZE, x : x + CELL_SIZE] for y, x in corners], dim=1)


def ink(pixels: Tensor) -> Tensor:
    """Intensity (...) of pixels (..., 3): the brightest channel, in a pure colour the digit's intensity."""
    return pixels.amax(-1)


def find_digits(cells: Tensor) -> Tensor:
    """Which of the cells (N, 5, 32, 32, 3) hold a digit, (N, 5) bool.

    First the layout: an image is Single where the central cell has nearly all its ink. Then, of the cells of
    this layout, those with enough ink.
    """
    intensity = ink(cells)
    is_ink = intensity > INK_LEVEL
    amount = (intensity * is_ink).sum(dim=(2, 3))
    centred = amount[:, 4] >= MIN_CENTRED_SHARE * amount[:, :4].sum(1)
    in_layout = torch.cat([~centred[:, None].expand(-1, 4), centred[:, None]], dim=1)
    return in_layout & (is_ink.sum(dim=(2, 3)) >= MIN_INK_PIXELS)


def name_colours(cells: Tensor) -> list[str]:
    """The colour of each cell (M, 32, 32, 3): a key of `COLOURS`, or `UNCLEAR`.

    It is the pure colour nearest in direction to the sum of the bright pixels, those with at least half the
    intensity of the brightest: the edges of a blurred digit and faint noise have no say.
    """
    intensity = ink(cells)
    is_bright = intensity >= intensity.amax(dim=(1, 2), keepdim=True) / 2
    mean = (cells * is_bright.unsqueeze(-1)).sum(dim=(1, 2))
    pure = torch.tensor(list(COLOURS.values()), dtype=cells.dtype)
    cosine, index = torch.nn.functional.cosine_similarity(mean[:, None], pure[None], dim=-1).max(-1)
    names = [*COLOURS, UNCLEAR]
    return [names[i] for i in index.where(cosine >= math.cos(MAX_COLOUR_ANGLE), len(COLOURS)).tolist()]


def digit_cells(images: Tensor) -> Tensor:
    """Digits (N, 28, 28) uint8 in the middle of cells of intensity in [0, 1], (N, 1, 32, 32)."""
    margin = (CELL_SIZE - DIGIT_SIZE) // 2
    return torch.nn.functional.pad(images.unsqueeze(1).float() / 255, [margin] * 4)


@torch.inference_mode()
def digit_accuracy(classifier: DigitClassifier, digits: MnistDigits) -> float:
    """Share of digits that `classifier`, in eval mode, reads right."""
    images, labels = torch.tensor(digits.images), torch.tensor(digits.labels)
    right = [
        (classifier(digit_cells(some)).argmax(-1) == some_labels).sum()
        for some, some_labels in zip(images.split(1000), labels.split(1000), strict=True)
    ]
    return int(sum(right)) / len(labels)
