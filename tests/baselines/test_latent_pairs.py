import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mxqvae.baselines import latent_pairs
from mxqvae.baselines.latent_pairs import (
    LatentPairGenerator,
    LatentPairsTraining,
    encode_latents,
    holds_latent_pairs,
    train_latent_pairs,
    with_seed,
)
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import SHIPPED_WEIGHTS
from mxqvae.training.loop import TrainingConfig

FEW = TrainingConfig(num_steps=3, batch_size=8, num_warmup_steps=1, bf16=False)
TRAINING = LatentPairsTraining(mmvae=FEW, joint_gan=FEW)


@pytest.fixture(scope="module")
def model(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained baseline. Shared: tests do not write into it."""
    out = tmp_path_factory.mktemp("baseline") / "model"
    assert train_latent_pairs(caption_mnist_small, out, TRAINING) > 0
    return out


def test_a_model_folder_says_what_it_holds(model: Path):
    assert holds_latent_pairs(model)
    assert not holds_latent_pairs(SHIPPED_WEIGHTS)


def test_both_parts_leave_a_log_and_a_picture(model: Path):
    for part in ("mmvae", "joint_gan"):
        lines = (model / "runs" / part / "log.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["step"] == 3
    with Image.open(model / "runs" / "mmvae" / "reconstructions-0000003.png") as picture:
        assert picture.width > 64


def test_a_pair_does_not_depend_on_how_many_are_asked_for(model: Path):
    generator = LatentPairGenerator.from_pretrained(model)
    many = list(generator.sample(70, seed=3))
    (one,) = generator.sample(1, seed=3, first=66)
    assert [len(pairs.captions) for pairs in many] == [64, 6]
    assert many[0].images.shape == (64, 64, 64, 3)
    assert np.array_equal(one.images[0], many[1].images[2])
    assert one.captions[0] == many[1].captions[2]
    (other,) = generator.sample(1, seed=4, first=66)
    assert not np.array_equal(one.images, other.images)


@pytest.mark.parametrize("change", [{"num": 0}, {"seed": -1}, {"first": -1}])
def test_bad_numbers_are_refused_at_once(model: Path, change: dict[str, int]):
    with pytest.raises(MxqvaeError, match=f"^{next(iter(change))} must be"):
        LatentPairGenerator.from_pretrained(model).sample(**({"num": 1} | change))


def test_a_finished_training_is_not_done_again(model: Path, caption_mnist_small: Path):
    weights = model / "joint_gan" / "model.safetensors"
    before = weights.read_bytes()
    train_latent_pairs(caption_mnist_small, model, TRAINING)
    assert weights.read_bytes() == before


def test_another_seed_is_another_training():
    other = with_seed(TRAINING, 7)
    assert (other.mmvae.seed, other.joint_gan.seed) == (7, 7)
    assert dataclasses.replace(other.mmvae, seed=0) == TRAINING.mmvae
    with pytest.raises(MxqvaeError, match="training: 'seed': Input should be less than 4294967296"):
        with_seed(TRAINING, 2**32)


class TestMirrored:
    MIRRORED = dataclasses.replace(TRAINING, horizontal_flip=True)

    def test_half_of_the_images_are_mirrored_and_the_run_is_another(
        self, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        runs: list[dict[str, Any]] = []

        def not_trained(model: Any, batch_of: Any, num_pairs: int, *others: Any, **options: Any) -> float:
            runs.append({"batch_of": batch_of, "num_pairs": num_pairs, "identity": options["identity"]})
            return 0.0

        monkeypatch.setattr(latent_pairs, "train", not_trained)
        for training in (TRAINING, self.MIRRORED):
            train_latent_pairs(caption_mnist_small, tmp_path / str(training.horizontal_flip), training)
        assert [run["num_pairs"] for run in runs] == [300, 300, 300, 600]
        assert len({run["identity"] for run in runs}) == 4
        rows = torch.arange(100)
        upright, seen = (run["batch_of"](rows).images for run in runs[::2])
        is_mirrored = (seen != upright).flatten(1).any(1)
        assert 30 < is_mirrored.sum() < 70
        assert seen[is_mirrored].equal(upright[is_mirrored].flip(3))

    def test_their_latents_are_further_ones(self, model: Path, caption_mnist_small: Path):
        generator = LatentPairGenerator.from_pretrained(model)
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        mirrored = PairDataset(pairs.images.flip(2), pairs.captions)
        token_ids = generator.tokenizer.encode(pairs.captions)
        both = encode_latents(generator.mmvae, [pairs.images_of, pairs.mirrored_images_of], token_ids)
        for number, side in enumerate((pairs, mirrored)):
            one = encode_latents(generator.mmvae, [side.images_of], token_ids)
            assert both.image.split(60)[number].equal(one.image)
            assert both.text.split(60)[number].equal(one.text)

    def test_a_seed_leaves_it(self):
        assert with_seed(self.MIRRORED, 7).horizontal_flip


def test_a_folder_of_something_else_is_left_alone(caption_mnist_small: Path, tmp_path: Path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(MxqvaeError, match="has content and no run to resume"):
        train_latent_pairs(caption_mnist_small, tmp_path, TRAINING)


def test_one_pair_is_too_few(caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pairs = PairDataset.from_parquet(caption_mnist_small, "train")
    one = PairDataset(pairs.images[:1], pairs.captions[:1])
    monkeypatch.setattr(PairDataset, "from_parquet", lambda folder, split: one)
    with pytest.raises(MxqvaeError, match="1 images with a caption; the baseline needs two or more"):
        train_latent_pairs(caption_mnist_small, tmp_path, TRAINING)


def test_a_missing_part_is_named(model: Path, tmp_path: Path):
    with pytest.raises(
        MxqvaeError, match=r"mmvae/config\.json is missing; train it with `mxqvae train joint-gan`"
    ):
        LatentPairGenerator.from_pretrained(tmp_path)
