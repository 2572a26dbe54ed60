from pathlib import Path

import pytest
import torch

from mxqvae.data.mnist import Mnist
from mxqvae.evaluation.digit_classifier import DigitClassifierConfig
from mxqvae.evaluation.judge import Judge, JudgeConfig, digit_accuracy, digit_cells
from mxqvae.evaluation.judge_training import blur_digits, train_judge, uniform, warp_digits, wear_digits
from mxqvae.training.loop import TrainingConfig


def short(num_steps: int, seed: int = 0) -> JudgeConfig:
    return JudgeConfig(
        classifier=DigitClassifierConfig(widths=(8, 16, 32)),
        training=TrainingConfig(
            num_steps=num_steps, batch_size=32, learning_rate=1e-2, num_warmup_steps=5, bf16=False, seed=seed
        ),
    )


@pytest.fixture
def cells(mnist_sample: Mnist) -> torch.Tensor:
    torch.manual_seed(0)
    return digit_cells(torch.tensor(mnist_sample.train.images))


def test_a_judge_learns(mnist_sample: Mnist, tmp_path: Path):
    judge = train_judge(mnist_sample, short(60), tmp_path)
    assert judge.record.test_accuracy > 0.5
    assert judge.record.test_accuracy == digit_accuracy(judge.classifier, mnist_sample.test)


def test_what_is_stored_is_what_was_measured(mnist_sample: Mnist, tmp_path: Path):
    judge = train_judge(mnist_sample, short(10), tmp_path)
    judge.save_pretrained(tmp_path / "judge")
    stored, trained = Judge.from_pretrained(tmp_path / "judge"), judge.classifier.state_dict()
    assert all(value.equal(trained[name]) for name, value in stored.classifier.state_dict().items())
    assert stored.record == judge.record


def test_the_seed_decides(mnist_sample: Mnist, tmp_path: Path):
    weights = [
        train_judge(mnist_sample, short(3, seed), tmp_path / str(run)).classifier.output.weight
        for run, seed in enumerate([1, 1, 2])
    ]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_warping_moves_digits_but_keeps_them_in_their_cells(cells: torch.Tensor):
    warped = warp_digits(cells)
    assert warped.shape == cells.shape
    assert not warped.equal(cells)
    ratio = warped.sum(dim=(1, 2, 3)) / cells.sum(dim=(1, 2, 3))
    assert float(ratio.min()) > 0.4
    assert float(ratio.max()) < 2
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)


def test_wear_keeps_intensities_in_their_range(cells: torch.Tensor):
    worn = wear_digits(cells)
    assert worn.shape == cells.shape
    assert float(worn.min()) >= 0
    assert float(worn.max()) <= 1
    assert float((worn - cells).abs().mean()) < 0.1


def test_blur_keeps_the_amount_of_ink(cells: torch.Tensor):
    blurred = blur_digits(cells, 1.0)
    torch.testing.assert_close(blurred.sum(dim=(1, 2, 3)), cells.sum(dim=(1, 2, 3)), rtol=1e-3, atol=1e-3)
    assert bool((blurred.amax(dim=(1, 2, 3)) <= cells.amax(dim=(1, 2, 3)) + 1e-6).all())


def test_uniform_draws_stay_within_the_spread():
    draws = uniform(1000, 0.5, centre=2.0)
    assert 1.5 <= float(draws.min()) < 1.55
    assert 2.45 < float(draws.max()) <= 2.5
