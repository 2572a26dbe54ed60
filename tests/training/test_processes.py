import importlib
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from torch import nn

from mxqvae.training.processes import average_gradients, companions, num_processes, process_rank

# A module of its own, since a companion is a fresh interpreter that imports what it is to call.
FIT = """
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mxqvae.training.loop import TrainingConfig, train
from mxqvae.training.processes import companions

CONFIG = TrainingConfig(num_steps=5, batch_size=8, learning_rate=0.1, num_warmup_steps=1, bf16=False)


class Losses(NamedTuple):
    total: Tensor


class Regression(nn.Linear):
    def loss(self, x):
        return Losses((self(x) - x.sum(1, keepdim=True)).square().mean())

    def summarise(self, sums, num_steps):
        return {"total": float(sums.total) / num_steps}


def fit(folder: Path, processes: int) -> nn.Module:
    torch.manual_seed(0)
    model, data = Regression(3, 1), torch.randn(30, 3)
    with companions(processes, fit, folder, processes):
        train(model, lambda rows: data[rows], 30, CONFIG, folder, identity="fit", description="fit")
    return model
"""


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], nn.Module]:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "companion_fit.py").write_text(FIT)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return importlib.import_module("companion_fit").fit


def test_two_processes_learn_what_one_does(fit: Callable[[Path, int], nn.Module], tmp_path: Path):
    num_threads = torch.get_num_threads()
    alone, together = fit(tmp_path / "alone", 1), fit(tmp_path / "together", 2)
    torch.testing.assert_close(together.state_dict(), alone.state_dict())
    lines = [(tmp_path / name / "log.jsonl").read_text().count("\n") for name in ("alone", "together")]
    assert lines == [2, 2]
    assert not distributed.is_initialized()
    assert not multiprocessing.active_children()
    assert torch.get_num_threads() == num_threads


def test_an_error_ends_the_companions(fit: Callable[[Path, int], nn.Module], tmp_path: Path):
    def fail() -> None:
        with companions(2, fit, tmp_path, 2):
            assert num_processes() == 2
            assert process_rank() == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not distributed.is_initialized()
    assert not multiprocessing.active_children()


def test_a_process_alone_has_no_companions():
    with companions(1, pytest.fail, "called"):
        assert num_processes() == 1
        assert process_rank() == 0
        assert not distributed.is_initialized()


def test_gradients_of_a_process_alone_stay():
    model = nn.Linear(3, 1)
    model(torch.ones(2, 3)).sum().backward()
    before = [parameter.grad for parameter in model.parameters()]
    average_gradients(model)
    assert [parameter.grad for parameter in model.parameters()] == before
