import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.contrastive_training import contrastive_tokenizer, shift, train_contrastive
from mxqvae.training.loop import TrainingConfig

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "pink": (1, 0, 1),
    "cyan": (0, 1, 1),
    "white": (1, 1, 1),
    "black": (0, 0, 0),
}
TRAINING = TrainingConfig(num_steps=30, batch_size=16, learning_rate=2e-3, num_warmup_steps=3, bf16=False)


def coloured_pairs(num: int, seed: int = 0) -> PairDataset:
    """Noisy images of eight colours, 16 x 16, and captions that name the colour in two ways."""
    generator = torch.Generator().manual_seed(seed)
    names = [list(COLOURS)[number % 8] for number in range(num)]
    colours = torch.tensor([COLOURS[name] for name in names]) * 155 + 50
    noise = torch.randint(-50, 51, (num, 16, 16, 3), generator=generator)
    captions = [f"all {name}" if number % 3 else f"it is {name}" for number, name in enumerate(names)]
    return PairDataset((colours[:, None, None] + noise).to(torch.uint8), captions)


def test_it_learns_which_caption_belongs_to_an_image(tmp_path: Path):
    embedding = train_contrastive(coloured_pairs(64), TRAINING, tmp_path)
    held_out = coloured_pairs(8, seed=1)
    cosines = embedding.embed_captions(held_out.captions) @ embedding.embed_images(held_out.images).T
    assert (cosines.argmax(1) == torch.arange(8)).float().mean() >= 0.75
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert {"total", "captions_found", "images_found"} <= last.keys()


def weights_of(pairs: PairDataset, training: TrainingConfig, folder: Path) -> list[Tensor]:
    return list(train_contrastive(pairs, training, folder).model.state_dict().values())


def test_the_same_call_gives_the_same_weights_and_resumes(tmp_path: Path):
    pairs, short = coloured_pairs(16), replace(TRAINING, num_steps=2)
    first = weights_of(pairs, short, tmp_path / "first")
    for folder in ("second", "first"):
        assert all(map(torch.equal, first, weights_of(pairs, short, tmp_path / folder)))
    other = weights_of(pairs, replace(short, seed=1), tmp_path / "other")
    assert not all(map(torch.equal, first, other))


@pytest.mark.parametrize("change", ["captions", "images"])
def test_a_checkpoint_of_other_pairs_is_refused(tmp_path: Path, change: str):
    pairs, short = coloured_pairs(16), replace(TRAINING, num_steps=1)
    train_contrastive(pairs, short, tmp_path)
    images = pairs.images.flip(0) if change == "images" else pairs.images
    captions = pairs.captions[::-1] if change == "captions" else pairs.captions
    with pytest.raises(MxqvaeError, match=r"checkpoint\.safetensors"):
        train_contrastive(PairDataset(images, captions), short, tmp_path)


def test_pairs_known_in_part_teach_nothing(tmp_path: Path):
    pairs, short = coloured_pairs(16), replace(TRAINING, num_steps=1)
    in_part = PairDataset(
        pairs.images, [*pairs.captions[:15], ""], image_numbers=torch.tensor([-1, *range(1, 16)])
    )
    assert train_contrastive(in_part, short, tmp_path).model.config.training == short
    with pytest.raises(MxqvaeError, match="no image has a caption to learn from"):
        train_contrastive(PairDataset(pairs.images, [""] * 16), short, tmp_path / "none")


@pytest.mark.parametrize(
    ("height", "width", "complaint"), [(16, 8, "make them square"), (12, 12, "takes multiples of 8")]
)
def test_sizes_that_it_cannot_take_are_named(tmp_path: Path, height: int, width: int, complaint: str):
    pairs = PairDataset(torch.zeros(4, height, width, 3, dtype=torch.uint8), ["a", "b", "c", "d"])
    with pytest.raises(MxqvaeError, match=complaint):
        train_contrastive(pairs, TRAINING, tmp_path)


@pytest.mark.parametrize(("num_words", "length"), [(3, 8), (12, 16), (200, 64)])
def test_the_caption_length_is_a_multiple_of_the_text_latents(num_words: int, length: int):
    assert contrastive_tokenizer([" ".join(["dog"] * num_words)]).max_length == length


def test_a_shift_moves_all_images_alike_and_repeats_the_border():
    images = torch.rand(3, 3, 32, 32)
    images[2] = images[0]
    padded = torch.nn.functional.pad(images, [2] * 4, mode="replicate")
    windows = [padded[:, :, y : y + 32, x : x + 32] for y in range(5) for x in range(5)]
    found = set()
    for _ in range(200):
        moved = shift(images)
        (which,) = (number for number, window in enumerate(windows) if moved.equal(window))
        found.add(which)
    assert len(found) == 25
