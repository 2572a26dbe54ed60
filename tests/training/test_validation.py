import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mxqvae.training import loop
from mxqvae.training.loop import TrainingConfig, train
from mxqvae.training.validation import held_out_loss


class Losses(NamedTuple):
    total: Tensor


class Mean(nn.Module):
    """Learns the mean of its batches, under noise; the loss of others is their distance from it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.modes: list[bool] = []

    def loss(self, batch: Tensor) -> Losses:
        self.modes.append(self.training)
        noise = torch.randn(()) if self.training else 0.0
        return Losses((self.weight + noise - batch).abs().mean())

    def summarise(self, sums: Losses, num_steps: int) -> dict[str, float]:
        return {"total": float(sums.total) / num_steps}


TRAINING = TrainingConfig(num_steps=6, batch_size=2, learning_rate=0.1, num_warmup_steps=0, bf16=False)
HELD_OUT = (torch.full((3,), 7.0), torch.full((1,), 7.0))


@pytest.fixture(autouse=True)
def logging_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


def run(folder: Path, held_out: tuple[Tensor, ...]) -> tuple[Mean, list[dict[str, Any]]]:
    model = Mean()
    train(
        model,
        lambda rows: rows.float(),
        4,
        TRAINING,
        folder,
        identity="mean",
        description="mean",
        held_out=held_out,
    )
    return model, [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_log_tells_the_loss_and_training_is_the_same(tmp_path: Path):
    (measured, log), (alone, plain) = run(tmp_path / "measured", HELD_OUT), run(tmp_path / "alone", ())
    assert measured.weight.equal(alone.weight)
    assert [line["total"] for line in log] == [line["total"] for line in plain]
    assert log[-1]["held_out"] == pytest.approx(7 - measured.weight.item(), abs=1e-5)
    assert "held_out" not in plain[-1]


def test_what_is_held_out_is_predicted_in_eval_mode(tmp_path: Path):
    model, _ = run(tmp_path, HELD_OUT)
    assert model.modes == [True, False, False] * 6


@pytest.mark.parametrize("training", [True, False])
def test_batches_count_by_their_size_and_the_mode_stays(training: bool):
    model = Mean().train(training)
    batches = (torch.zeros(3), torch.full((1,), 8.0))
    assert held_out_loss(model, batches, torch.device("cpu")) == pytest.approx(2.0)
    assert model.training == training
