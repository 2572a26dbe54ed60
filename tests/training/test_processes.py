import importlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.distributed as distributed
from torch import nn

from mxqvae.errors import MxqvaeError
from mxqvae.training.processes import average_gradients, companions, num_processes, process_rank

# A module of its own, since a companion is a fresh interpreter that imports what it is to call.
COMPANION = """
import multiprocessing
import os
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from mxqvae.autoencoder.quantizer import AveragingVectorQuantizer, QuantizerConfig
from mxqvae.errors import MxqvaeError
from mxqvae.training.loop import TrainingConfig, train
from mxqvae.training.processes import companions, process_rank

CONFIG = TrainingConfig(num_steps=5, batch_size=8, learning_rate=0.1, num_warmup_steps=1, bf16=False)


class Losses(NamedTuple):
    total: Tensor


class Regression(nn.Linear):
    def loss(self, x):
        return Losses((self(x) - x.sum(1, keepdim=True)).square().mean())

    def summarise(self, sums, num_steps):
        return {"total": float(sums.total) / num_steps}


def quantize(processes: int) -> list[Tensor]:
    # The codebook of each process after ten batches of its own.
    with companions(processes, quantize, processes):
        torch.manual_seed(process_rank())
        config = QuantizerConfig(num_codes=32, code_size=4, average_decay=0.5, reset_below=0.5)
        quantizer = AveragingVectorQuantizer(config, torch.ones(5))
        for _ in range(10):
            quantizer(torch.randn(4, 5, 4))
        codebooks = [torch.empty_like(quantizer.codebook) for _ in range(processes)]
        distributed.all_gather(codebooks, quantizer.codebook)
    return codebooks


def refuse() -> None:
    # As all would; the first one waits to see whether the other says it too.
    with companions(2, refuse):
        if process_rank():
            raise MxqvaeError("no")
        for other in multiprocessing.active_children():
            other.join()
        raise MxqvaeError("no")


if os.environ.get("ALIVE", str(os.getpid())) != str(os.getpid()):
    os._exit(1)


def fit(folder: Path, processes: int) -> nn.Module:
    torch.manual_seed(0)
    model, data = Regression(3, 1), torch.randn(30, 3)
    with companions(processes, fit, folder, processes):
        train(model, lambda rows: data[rows], 30, CONFIG, folder, identity="fit", description="fit")
    return model
"""


@pytest.fixture
def companion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "companion.py").write_text(COMPANION)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return importlib.import_module("companion")


@pytest.fixture
def fit(companion: ModuleType) -> Callable[[Path, int], nn.Module]:
    return companion.fit


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


def test_what_all_refuse_the_first_one_says(companion: ModuleType, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(MxqvaeError, match=r"^no$"):
        companion.refuse()
    assert "Traceback" not in capfd.readouterr().err


def test_all_have_the_same_codebook(companion: ModuleType):
    first, second = companion.quantize(2)
    assert first.equal(second)


def test_a_batch_is_shared_equally_or_refused(fit: Callable[[Path, int], nn.Module], tmp_path: Path):
    with pytest.raises(MxqvaeError, match="batch_size 8 does not divide among 3 processes; give a multiple"):
        fit(tmp_path, 3)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_companion_that_never_comes_is_not_waited_for(
    fit: Callable[[Path, int], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALIVE", str(os.getpid()))
    with pytest.raises(MxqvaeError, match=r"ended before it began; a script that trains needs"):
        fit(tmp_path, 2)
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
