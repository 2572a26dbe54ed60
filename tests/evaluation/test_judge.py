import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mxqvae.data.caption_grammar import CENTRE, COLOURS, QUADRANTS, Slot
from mxqvae.data.mnist import Mnist
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import score_consistency
from mxqvae.evaluation.judge import SHIPPED_JUDGE, UNCLEAR, Judge, digit_accuracy

CORNERS = {
    "upper left": (0, 0),
    "upper right": (0, 32),
    "lower left": (32, 0),
    "lower right": (32, 32),
    CENTRE: (16, 16),
}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.from_pretrained()


@pytest.fixture(scope="module")
def test_pairs(caption_mnist_small: Path) -> PairDataset:
    return PairDataset.from_parquet(caption_mnist_small, "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED_JUDGE, tmp_path / "judge"))


def paint(digit: np.ndarray, colour: tuple[float, float, float], *positions: str) -> torch.Tensor:
    """One image (1, 64, 64, 3): the digit (28, 28), in a colour of channels 0 to 1, at each position."""
    image = np.zeros((64, 64, 3))
    for position in positions:
        y, x = CORNERS[position]
        image[y + 2 : y + 30, x + 2 : x + 30] = digit[:, :, None] * np.array(colour)
    return torch.tensor(image.round().astype(np.uint8))[None]


def add_noise(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Intensity noise of a standard deviation from 0 to 1."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * deviation * 255
    return (images + noise).clamp(0, 255).round().to(torch.uint8)


def blur(images: torch.Tensor) -> torch.Tensor:
    """A 3 x 3 mean."""
    planes = torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 3, stride=1, padding=1)
    return planes.permute(0, 2, 3, 1).round().to(torch.uint8)


def test_the_shipped_judge_reads_what_the_issue_asks(judge: Judge, mnist_sample: Mnist):
    assert judge.record.test_accuracy >= 0.995
    assert digit_accuracy(judge.classifier, mnist_sample.test) >= 0.99
    assert sum(path.stat().st_size for path in SHIPPED_JUDGE.iterdir()) < 1_000_000


def test_real_pairs_are_read_as_their_slots(judge: Judge, test_pairs: PairDataset):
    score = score_consistency(test_pairs.images, test_pairs.captions, judge)
    assert score.slots.position == score.slots.colour == score.parsed.rate == 1
    assert score.slots.digit >= 0.98


@pytest.mark.parametrize("deviation", [0.02, 0.05])
def test_faint_noise_is_not_ink(judge: Judge, test_pairs: PairDataset, deviation: float):
    score = score_consistency(add_noise(test_pairs.images, deviation), test_pairs.captions, judge)
    assert score.slots.position == score.slots.colour == 1
    assert score.slots.digit >= 0.97


@pytest.mark.parametrize("brightness", [1.0, 0.7])
def test_blurred_and_pale_digits_are_read(judge: Judge, test_pairs: PairDataset, brightness: float):
    images = (blur(test_pairs.images) * brightness).to(torch.uint8)
    score = score_consistency(images, test_pairs.captions, judge)
    assert score.slots.position == score.slots.colour == 1
    assert score.slots.digit >= 0.97


def test_reading_does_not_depend_on_the_batch(judge: Judge, test_pairs: PairDataset):
    together = judge.read(test_pairs.images)
    assert [slots for image in test_pairs.images.split(1) for slots in judge.read(image)] == together
    assert judge.read(test_pairs.images.flip(0)) == together[::-1]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("position", CORNERS)
def test_every_position_and_colour_is_named(judge: Judge, mnist_sample: Mnist, position: str, colour: str):
    red, green, blue = (channel / 255 for channel in COLOURS[colour])
    image = paint(mnist_sample.test.images[0], (red, green, blue), position)
    assert judge.read(image) == [(Slot(position, int(mnist_sample.test.labels[0]), colour),)]


def test_slots_come_in_the_order_of_the_quadrants(judge: Judge, mnist_sample: Mnist):
    (slots,) = judge.read(paint(mnist_sample.test.images[0], (1, 0, 0), *reversed(QUADRANTS)))
    assert tuple(slot.position for slot in slots) == QUADRANTS


def test_a_black_image_shows_nothing(judge: Judge):
    black = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    assert judge.read(black) == judge.read(add_noise(black, 0.05)) == [()] * 3
    assert judge.read(black[:0]) == []


@pytest.mark.parametrize("colour", [(1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0.4, 0.4), (0.6, 0.3, 0)])
def test_a_colour_between_two_is_unclear(
    judge: Judge, mnist_sample: Mnist, colour: tuple[float, float, float]
):
    ((slot,),) = judge.read(paint(mnist_sample.test.images[0], colour, "lower left"))
    assert slot.colour == UNCLEAR


@pytest.mark.parametrize(
    ("colour", "name"), [((1, 0.2, 0.1), "red"), ((0.9, 1, 0.8), "white"), ((0, 0.2, 0.6), "blue")]
)
def test_a_stained_colour_keeps_its_name(
    judge: Judge, mnist_sample: Mnist, colour: tuple[float, float, float], name: str
):
    ((slot,),) = judge.read(paint(mnist_sample.test.images[0], colour, "lower left"))
    assert slot.colour == name


def test_a_digit_in_two_colours_is_unclear(judge: Judge, mnist_sample: Mnist):
    digit = mnist_sample.test.images[3]
    upper, lower = digit.copy(), digit.copy()
    upper[14:], lower[:14] = 0, 0
    image = paint(upper, (1, 0, 0), CENTRE) + paint(lower, (0, 0, 1), CENTRE)
    ((slot,),) = judge.read(image)
    assert slot == Slot(CENTRE, int(mnist_sample.test.labels[3]), UNCLEAR)


def test_a_digit_in_the_centre_and_another_in_a_quadrant_are_not_single(judge: Judge, mnist_sample: Mnist):
    digit = mnist_sample.test.images[0]
    image = torch.maximum(paint(digit, (1, 1, 1), CENTRE), paint(digit, (1, 1, 1), "upper left"))
    assert all(slot.position != CENTRE for slot in judge.read(image)[0])


def test_saved_judges_read_alike(judge: Judge, test_pairs: PairDataset, tmp_path: Path):
    judge.save_pretrained(tmp_path / "deep" / "judge")
    again = Judge.from_pretrained(tmp_path / "deep" / "judge")
    assert again.record == judge.record
    assert again.read(test_pairs.images) == judge.read(test_pairs.images)
    assert sorted(path.name for path in (tmp_path / "deep" / "judge").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((2, 32, 32, 3), torch.uint8), ((2, 3, 64, 64), torch.uint8), ((2, 64, 64, 3), torch.float32)],
)
def test_images_of_another_size_or_type_are_refused(judge: Judge, shape: tuple[int, ...], kind: torch.dtype):
    with pytest.raises(
        MxqvaeError, match=r"the judge reads images of 64 x 64 pixels \(uint8, RGB\), not .*; give it"
    ):
        judge.read(torch.zeros(shape, dtype=kind))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(MxqvaeError, match=rf"{name} is missing; train a judge with `mxqvae train judge`"):
        Judge.from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 100, 100_000])
def test_damaged_weights_are_named(folder: Path, keep: int):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MxqvaeError, match=r"model.safetensors is damaged; train a judge"):
        Judge.from_pretrained(folder)


def test_weights_of_another_width_are_named(folder: Path):
    record = json.loads((folder / "config.json").read_text())
    record["config"]["classifier"]["widths"] = [8, 8, 8]
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(
        MxqvaeError, match=r"model.safetensors does not fit config.json beside it; train a judge"
    ):
        Judge.from_pretrained(folder)


def test_an_unknown_key_is_named(folder: Path):
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**record, "wisdom": 3}))
    with pytest.raises(MxqvaeError, match=r"config.json: unknown key 'wisdom'"):
        Judge.from_pretrained(folder)
