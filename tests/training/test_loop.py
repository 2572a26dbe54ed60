import json
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from mxqvae.errors import MxqvaeError
from mxqvae.progress import Advance
from mxqvae.training import loop
from mxqvae.training.loop import (
    TrainingConfig,
    batch_rows,
    learning_rate,
    override_training,
    train,
    training_step,
    within_epochs,
)

NUM_PAIRS = 20


class Losses(NamedTuple):
    total: Tensor
    rows: Tensor


class Regression(nn.Module):
    """Fits y = sum(x) under dropout and noise; a buffer changes with every batch, as a codebook does."""

    num_seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Linear(4, 1)
        self.dropout = nn.Dropout(0.3)
        self.register_buffer("num_seen", torch.zeros(()))
        self.totals: list[float] = []
        self.on_loss: Callable[[], None] = lambda: None

    def loss(self, batch: Tensor) -> Losses:
        self.num_seen += len(batch)
        noise = 0.1 * torch.randn(len(batch), 1)
        error = self.weight(self.dropout(batch)).float() - batch.sum(1, keepdim=True) + noise
        self.on_loss()
        total = error.square().mean()
        self.totals.append(float(total.detach()))
        return Losses(total, torch.tensor(len(batch)))

    def summarise(self, sums: Losses, num_steps: int) -> dict[str, float]:
        return {"total": float(sums.total) / num_steps, "rows": int(sums.rows)}


class Recorder:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, str, int]] = []
        self.advances: list[tuple[int, str]] = []
        self.lines: list[str] = []

    @contextmanager
    def task(self, description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.tasks.append((description, total, unit, done))
        yield lambda count=1, note="": self.advances.append((count, note))

    def say(self, text: str) -> None:
        self.lines.append(text)


def config(**changes: Any) -> TrainingConfig:
    defaults = {"num_steps": 12, "batch_size": 6, "learning_rate": 0.05, "num_warmup_steps": 2, "bf16": False}
    return TrainingConfig(**(defaults | changes))


def data(rows: Tensor) -> Tensor:
    return torch.randn(NUM_PAIRS, 4, generator=torch.Generator().manual_seed(1))[rows]


def run(model: Regression, folder: Path, training: TrainingConfig | None = None, **options: Any) -> float:
    options = {"batch_of": data, "identity": "regression", "description": "fit"} | options
    return train(model, num_pairs=NUM_PAIRS, config=training or config(), folder=folder, **options)


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    return all(value.equal(second.state_dict()[name]) for name, value in first.state_dict().items())


def interrupted_at(step: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[[Tensor], Tensor]:
    """The data, until they are asked for a batch that does not come."""
    asked = iter(range(step))

    def batch_of(rows: Tensor) -> Tensor:
        if next(asked, None) is None:
            raise error
        return data(rows)

    return batch_of


@pytest.fixture
def whole(tmp_path: Path) -> Regression:
    """A model that was trained in one go."""
    model = Regression()
    run(model, tmp_path / "whole")
    return model


class TestTraining:
    def test_a_model_learns(self, tmp_path: Path):
        model = Regression()
        model.dropout.p = 0.0
        run(model, tmp_path, config(num_steps=200))
        assert sum(model.totals[-10:]) < 0.1 * sum(model.totals[:10])
        assert not model.training

    def test_the_same_run_gives_the_same_weights(self, whole: Regression, tmp_path: Path):
        again, other = Regression(), Regression()
        run(again, tmp_path / "again")
        run(other, tmp_path / "other", config(seed=1))
        assert same_weights(again, whole)
        assert not same_weights(other, whole)

    def test_progress_is_told(self, tmp_path: Path):
        progress = Recorder()
        run(Regression(), tmp_path, progress=progress)
        assert progress.tasks == [("fit", 12 * 6, "pairs", 0)]
        assert [count for count, _ in progress.advances] == [6] * 12
        assert all(note.startswith("loss ") and "nan" not in note for _, note in progress.advances)

    def test_a_finished_run_is_not_run_again(self, whole: Regression, tmp_path: Path):
        model, progress = Regression(), Recorder()
        log = log_of(tmp_path / "whole")
        batch_of = interrupted_at(0, AssertionError)
        seconds = run(model, tmp_path / "whole", batch_of=batch_of, progress=progress)
        assert same_weights(model, whole)
        assert seconds == log[-1]["seconds"]
        assert log_of(tmp_path / "whole") == log
        assert (progress.lines, progress.tasks) == (["fit: trained before"], [])


class TestResuming:
    @pytest.mark.parametrize("step", [0, 1, 5, 11])
    def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
        self, whole: Regression, tmp_path: Path, step: int
    ):
        stopped, resumed, progress, progress_of_resumed = Regression(), Regression(), Recorder(), Recorder()
        with pytest.raises(KeyboardInterrupt):
            run(stopped, tmp_path, batch_of=interrupted_at(step), progress=progress)
        assert progress.lines == [
            f"stopped at step {step}; the same command resumes from {tmp_path / 'checkpoint.safetensors'}"
        ]
        run(resumed, tmp_path, progress=progress_of_resumed)
        assert stopped.totals + resumed.totals == whole.totals
        assert same_weights(resumed, whole)
        assert not any("nan" in note for _, note in progress_of_resumed.advances)

    def test_ctrl_c_waits_for_the_end_of_a_step(self, whole: Regression, tmp_path: Path):
        """Half a step has changed buffers and no weights: a checkpoint of it would count a batch twice."""
        stopped, resumed = Regression(), Regression()
        stopped.on_loss = lambda: signal.raise_signal(signal.SIGINT) if len(stopped.totals) == 4 else None
        with pytest.raises(KeyboardInterrupt):
            run(stopped, tmp_path)
        assert len(stopped.totals) == 5
        run(resumed, tmp_path)
        assert stopped.totals + resumed.totals == whole.totals
        assert same_weights(resumed, whole)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_crash_loses_no_more_than_the_steps_since_the_last_checkpoint(
        self, whole: Regression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        crashed, resumed = Regression(), Regression()
        monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        with pytest.raises(ZeroDivisionError):
            run(crashed, tmp_path, batch_of=interrupted_at(7, ZeroDivisionError))
        run(resumed, tmp_path)
        assert crashed.totals + resumed.totals == whole.totals
        assert same_weights(resumed, whole)

    def test_another_run_s_checkpoint_is_refused_and_kept(self, whole: Regression, tmp_path: Path):
        path = tmp_path / "whole" / "checkpoint.safetensors"
        before = path.read_bytes()
        with pytest.raises(MxqvaeError) as refusal:
            run(Regression(), tmp_path / "whole", identity="another")
        expected = (
            f"checkpoint {path} belongs to a run with other settings or on other data; "
            "delete it to train from the start, or train into another folder"
        )
        assert str(refusal.value) == expected
        assert path.read_bytes() == before

    def test_a_damaged_checkpoint_is_named_and_kept(self, whole: Regression, tmp_path: Path):
        path = tmp_path / "whole" / "checkpoint.safetensors"
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(MxqvaeError) as refusal:
            run(Regression(), tmp_path / "whole")
        assert str(refusal.value).startswith(f"checkpoint {path} is damaged (")
        assert str(refusal.value).endswith("; delete it to train from the start")
        assert path.exists()


class TestCheckpoints:
    def test_somebody_is_called_after_each_in_eval_mode(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        model = Regression()
        seen = []

        def look(step: int) -> None:
            seen.append((step, model.training, (tmp_path / "checkpoint.safetensors").exists()))

        monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        run(model, tmp_path, config(num_steps=3), on_checkpoint=look)
        assert seen == [(1, False, True), (2, False, True), (3, False, True)]

    def test_a_slow_look_does_not_come_after_every_step(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        seconds, looks = 0.0, []

        def ten_seconds_a_step(rows: Tensor) -> Tensor:
            nonlocal seconds
            seconds += 10
            return data(rows)

        def look(step: int) -> None:
            nonlocal seconds
            seconds += 1_000
            looks.append(step)

        monkeypatch.setattr(loop.time, "monotonic", lambda: seconds)
        monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 35)
        run(Regression(), tmp_path, batch_of=ten_seconds_a_step, on_checkpoint=look)
        assert looks == [4, 8, 12]

    def test_looking_changes_nothing(
        self, whole: Regression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        model = Regression()
        monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        run(model, tmp_path, on_checkpoint=lambda step: torch.manual_seed(step))
        assert same_weights(model, whole)

    def test_nothing_else_is_left_in_the_folder(self, whole: Regression, tmp_path: Path):
        names = {path.name for path in (tmp_path / "whole").iterdir()}
        assert names == {"checkpoint.safetensors", "log.jsonl"}


class TestLog:
    def test_lines_are_means_since_the_line_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(loop, "LOG_EVERY", 5)
        model = Regression()
        run(model, tmp_path)
        lines = log_of(tmp_path)
        assert [line["step"] for line in lines] == [1, 5, 10, 12]
        assert [line["rows"] for line in lines] == [6, 24, 30, 12]
        bounds = [0, 1, 5, 10, 12]
        for line, first, last in zip(lines, bounds, bounds[1:], strict=False):
            mean = sum(model.totals[first:last]) / (last - first)
            assert line["total"] == pytest.approx(mean, abs=2e-6)
            assert line["pairs_per_second"] > 0
        seconds = [line["seconds"] for line in lines]
        assert seconds == sorted(seconds)

    def test_a_run_that_goes_on_elsewhere_says_in_which_precision(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(loop, "LOG_EVERY", 5)
        monkeypatch.setattr(loop, "multiplies_bf16", lambda device: True)
        run(Regression(), tmp_path, config(num_steps=5, bf16=True))
        assert [line["bf16"] for line in log_of(tmp_path)] == [1, 1]
        monkeypatch.setattr(loop, "multiplies_bf16", lambda device: False)
        run(Regression(), tmp_path, config(num_steps=10, bf16=True))
        assert [line["bf16"] for line in log_of(tmp_path)] == [1, 1, 0]

    def test_a_stopped_run_counts_all_its_steps_and_their_time(self, tmp_path: Path):
        with pytest.raises(KeyboardInterrupt):
            run(Regression(), tmp_path, batch_of=interrupted_at(7))
        seconds = run(Regression(), tmp_path)
        lines = log_of(tmp_path)
        assert [line["step"] for line in lines] == [1, 7, 12]
        assert sum(line["rows"] for line in lines) == 12 * 6
        assert seconds == pytest.approx(lines[-1]["seconds"], abs=0.06)

    def test_lines_past_the_checkpoint_are_dropped(self, whole: Regression, tmp_path: Path):
        folder = tmp_path / "whole"
        with (folder / "log.jsonl").open("a") as file:
            file.write('{"step": 13, "seconds": 99.0}\n')
        run(Regression(), folder)
        assert [line["step"] for line in log_of(folder)] == [1, 12]

    def test_a_line_that_a_crash_cut_short_is_dropped(self, whole: Regression, tmp_path: Path):
        folder = tmp_path / "whole"
        with (folder / "log.jsonl").open("a") as file:
            file.write('{"step": 12, "sec')
        run(Regression(), folder)
        assert [line["step"] for line in log_of(folder)] == [1, 12]


class TestStep:
    def test_gradients_are_scaled_down_to_the_largest_norm(self):
        model = Regression()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        batch = 1000 * data(torch.arange(6))
        training_step(model, batch, optimizer, 1.0, config(largest_gradient_norm=0.5))
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        assert float(norm) == pytest.approx(0.5, rel=1e-4)

    def test_it_goes_at_the_rate_it_is_told(self):
        model = Regression()
        before = model.weight.weight.detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        training_step(model, data(torch.arange(6)), optimizer, 0.0, config())
        assert model.weight.weight.equal(before)
        assert optimizer.param_groups[0]["lr"] == 0.0

    @pytest.mark.parametrize("able", [True, False])
    @pytest.mark.parametrize("bf16", [True, False])
    def test_autocast_is_the_config_s_choice_where_it_pays(
        self, monkeypatch: pytest.MonkeyPatch, bf16: bool, able: bool
    ):
        monkeypatch.setattr(loop, "multiplies_bf16", lambda device: able)
        model, seen = Regression(), []
        model.on_loss = lambda: seen.append(torch.is_autocast_enabled("cpu"))
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        training_step(model, data(torch.arange(6)), optimizer, 0.1, config(bf16=bf16))
        assert seen == [bf16 and able]


class TestLearningRate:
    def test_it_rises_in_a_line_and_falls_in_a_cosine(self):
        training = config(num_steps=104, num_warmup_steps=4, learning_rate=1.0)
        rates = [learning_rate(step, training) for step in range(104)]
        assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
        assert rates[54] == pytest.approx(0.5)
        assert rates[29] == pytest.approx((1 + math.sqrt(0.5)) / 2)
        assert rates[4:] == sorted(rates[4:], reverse=True)
        assert 0 < rates[-1] < 0.001

    @given(st.integers(1, 300), st.integers(0, 300))
    def test_it_stays_between_zero_and_the_highest(self, num_steps: int, num_warmup_steps: int):
        training = config(num_steps=num_steps, num_warmup_steps=num_warmup_steps)
        rates = [learning_rate(step, training) for step in range(num_steps)]
        assert all(0 < rate < 0.05 * (1 + 1e-9) for rate in rates)


class TestBatchRows:
    @given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**32 - 1))
    def test_every_epoch_has_every_row_once(self, num_pairs: int, batch_size: int, seed: int):
        num_batches = -(-3 * num_pairs // batch_size)
        batches = [batch_rows(step, num_pairs, batch_size, seed) for step in range(num_batches)]
        assert all(len(rows) == batch_size for rows in batches)
        for epoch in torch.cat(batches)[: 3 * num_pairs].split(num_pairs):
            assert epoch.sort().values.equal(torch.arange(num_pairs))

    @given(st.integers(0, 300), st.integers(0, 5))
    def test_a_batch_is_a_function_of_seed_and_step(self, step: int, seed: int):
        rows = batch_rows(step, 20, 6, seed)
        batch_rows(step + 100, 20, 6, seed + 1)
        assert batch_rows(step, 20, 6, seed).equal(rows)

    def test_epochs_and_seeds_differ_in_order(self):
        orders = {tuple(batch_rows(step, 30, 30, seed).tolist()) for step in range(3) for seed in range(3)}
        assert len(orders) == 9


@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"weight_decay": -0.1},
        {"second_moment_decay": 1.0},
        {"num_warmup_steps": -1},
        {"largest_gradient_norm": 0.0},
        {"seed": -1},
        {"seed": 2**32},
        {"bf16": 1},
    ],
)
def test_impossible_values_are_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        config(**change)


@given(
    num_pairs=st.integers(1, 10_000),
    max_epochs=st.integers(1, 3000),
    num_steps=st.integers(1, 10_000),
    batch_size=st.integers(1, 300),
)
def test_few_pairs_take_few_steps(num_pairs: int, max_epochs: int, num_steps: int, batch_size: int):
    asked_for = TrainingConfig(num_steps=num_steps, batch_size=batch_size, num_warmup_steps=num_steps // 3)
    fitted = within_epochs(asked_for, num_pairs, max_epochs)
    draws = max_epochs * num_pairs
    assert 1 <= fitted.num_steps <= num_steps
    assert (fitted.num_steps - 1) * batch_size < draws
    assert fitted.num_steps == num_steps or fitted.num_steps * batch_size >= draws
    assert fitted.num_warmup_steps * 3 <= fitted.num_steps
    if fitted.num_steps == num_steps:
        assert fitted == asked_for


def test_45_pairs_are_not_seen_22_755_times():
    fitted = within_epochs(TrainingConfig(num_steps=8_000, batch_size=128), 45, 2_000)
    assert (fitted.num_steps, fitted.num_warmup_steps) == (704, 44)


@pytest.mark.parametrize(
    ("assignments", "num_steps", "num_warmup_steps"),
    [
        ([], 1000, 300),
        (["learning_rate=0.5"], 1000, 300),
        (["num_steps=100"], 100, 30),
        (["num_steps=1"], 1, 0),
        (["num_steps=2000"], 2000, 300),
        (["num_steps=100", "num_warmup_steps=7"], 100, 7),
    ],
)
def test_fewer_steps_have_a_shorter_warm_up(assignments: list[str], num_steps: int, num_warmup_steps: int):
    training = override_training(config(num_steps=1000, num_warmup_steps=300), assignments)
    assert (training.num_steps, training.num_warmup_steps) == (num_steps, num_warmup_steps)
