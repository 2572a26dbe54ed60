import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mxqvae.training import loop, validation
from mxqvae.training.loop import TrainingConfig, train
from mxqvae.training.validation import EarlyStopping, Validation


class Losses(NamedTuple):
    total: Tensor


class Climber(nn.Module):
    """Its weight climbs by 1 a step; the further it is from the batches' mean, the greater the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.modes: list[bool] = []

    def loss(self, batch: Tensor) -> Losses:
        self.modes.append(self.training)
        # In training the gradient is -1 whatever the batch.
        return Losses(-self.weight if self.training else (self.weight.detach() - batch).abs().mean())

    def summarise(self, sums: Losses, num_steps: int) -> dict[str, float]:
        return {"total": float(sums.total) / num_steps}


TRAINING = TrainingConfig(num_steps=40, batch_size=2, learning_rate=1.0, num_warmup_steps=0, bf16=False)
HELD_OUT = (torch.full((3,), 7.0), torch.full((1,), 7.0))


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation every step, at a learning rate that stays."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(loop, "learning_rate", lambda step, config: config.learning_rate)
    monkeypatch.setattr(validation, "PATIENCE", 5)


class Teller:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.say: Callable[[str], None] = self.lines.append
        self.task = loop.NoProgress().task


def run(folder: Path, model: Climber, **options: Any) -> float:
    defaults: dict[str, Any] = {
        "batch_of": lambda rows: rows,
        "identity": "climb",
        "description": "climb",
    }
    if "validation" not in options:
        options["validation"] = EarlyStopping(HELD_OUT)
    return train(model, num_pairs=4, config=TRAINING, folder=folder, **(defaults | options))


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_weights_that_predict_held_out_pairs_best_are_kept(tmp_path: Path):
    model, progress = Climber(), Teller()
    run(tmp_path, model, progress=progress)
    log = log_of(tmp_path)
    best = min(log, key=lambda line: line["held_out"])
    assert abs(model.weight.item() - 7) == pytest.approx(best["held_out"], abs=1e-5)
    assert best["held_out"] < 0.1
    assert log[-1]["step"] == best["step"] + 5 < TRAINING.num_steps
    assert not model.training
    assert progress.lines == [
        f"kept are the weights of step {best['step']} of {log[-1]['step']}, which predicted held-out pairs "
        f"best (loss {best['held_out']:.4f})"
    ]


def test_without_held_out_pairs_the_last_weights_are_kept(tmp_path: Path):
    model = Climber()
    run(tmp_path, model, validation=None)
    assert model.weight.item() > 30
    assert "held_out" not in log_of(tmp_path)[-1]


def test_a_validation_measures_and_changes_nothing(tmp_path: Path):
    measured, alone, progress = Climber(), Climber(), Teller()
    run(tmp_path / "measured", measured, validation=Validation(HELD_OUT), progress=progress)
    run(tmp_path / "alone", alone, validation=None)
    assert measured.weight.equal(alone.weight)
    assert log_of(tmp_path / "measured")[-1]["held_out"] > 20
    assert progress.lines == []


def test_what_is_held_out_is_predicted_in_eval_mode(tmp_path: Path):
    model = Climber()
    run(tmp_path, model)
    assert model.modes[:6] == [True, False, False, True, False, False]


@pytest.mark.parametrize("step", [3, 9])
def test_a_stopped_run_keeps_the_same_weights(tmp_path: Path, step: int):
    whole, stopped, resumed = Climber(), Climber(), Climber()
    run(tmp_path / "whole", whole)
    steps = iter(range(step))

    def batch_of(rows: Tensor) -> Tensor:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return rows

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stopped, batch_of=batch_of)
    run(tmp_path / "stopped", resumed)
    assert resumed.weight.equal(whole.weight)
    held_out = [[line["held_out"] for line in log_of(tmp_path / name)] for name in ("whole", "stopped")]
    assert held_out[0] == held_out[1]


def test_a_run_that_ended_early_is_not_run_again(tmp_path: Path):
    first, again = Climber(), Climber()
    run(tmp_path, first)
    run(tmp_path, again)
    assert again.weight.equal(first.weight)
    assert again.modes == []


def test_batches_count_by_their_size():
    measured = EarlyStopping((torch.zeros(3), torch.full((1,), 8.0)))
    assert measured.best_loss == math.inf
    assert measured.measure(Climber().eval(), 1, torch.device("cpu")) == pytest.approx(2.0)
    assert (measured.best_loss, measured.best_step) == (2.0, 1)
