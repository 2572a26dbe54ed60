"""Data-parallel training on one machine: each process takes its share of every batch.

On a CPU two processes of one thread each train faster than one process of two threads: most operations of a
small model do not divide among threads. `torchrun` works as well, there the processes are its own.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn


def num_processes() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """Number of this process, from 0; the first one writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def companions(num: int, target: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Run the block as the first of `num` processes; the others call `target(*arguments)` and end with it.

    Nothing happens where this process has companions already: in a companion itself, or under `torchrun`,
    which it joins. Companions do not hear Ctrl-C: the first process stops them.
    """
    if "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if num == 1 or distributed.is_initialized():
        yield
        return
    num_threads = torch.get_num_threads()
    share = max(1, num_threads // num)
    address = f"tcp://127.0.0.1:{_free_port()}"
    spawn = multiprocessing.get_context("spawn")
    others = [
        spawn.Process(target=_accompany, args=(rank, num, address, share, target, arguments), daemon=True)
        for rank in range(1, num)
    ]
    for process in others:
        process.start()
    try:
        torch.set_num_threads(share)
        distributed.init_process_group("gloo", init_method=address, rank=0, world_size=num)
        yield
    finally:
        for process in others:
            process.kill()
            process.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        torch.set_num_threads(num_threads)


def wait_for_all() -> None:
    """Under `torchrun`: until every process is here, so that none looks for files before they are written."""
    if distributed.is_initialized():
        distributed.barrier()


def average_gradients(model: nn.Module) -> None:
    """Replace each gradient by its mean over all processes."""
    if num_processes() == 1:
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= num_processes()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum over all processes of `values`, on the device that they train on; the same in each."""
    if num_processes() > 1:
        distributed.all_reduce(values)
    return values


def _accompany(
    rank: int,
    num: int,
    address: str,
    num_threads: int,
    target: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(num_threads)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=num)
    target(*arguments)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
