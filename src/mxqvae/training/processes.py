"""Data-parallel training on one machine: each process takes its share of every batch.

On a CPU two processes of one thread each train faster than one process of two threads: most operations of a
small model do not divide among threads. `torchrun` works as well, there the processes are its own.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from mxqvae.errors import MxqvaeError


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

    Raises:
        MxqvaeError: A companion ended before it could begin.
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
    others, arrivals = [], []
    try:
        for rank in range(1, num):
            here, there = spawn.Pipe(duplex=False)
            settings = (there, rank, num, address, share, target, arguments)
            others.append(spawn.Process(target=_accompany, args=settings, daemon=True))
            others[-1].start()
            there.close()
            arrivals.append(here)
        for arrival in arrivals:
            _wait_for(arrival)
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


def _wait_for(arrival: Connection) -> None:
    """Until a companion is there, and no longer: to join one that is gone would take for ever."""
    try:
        arrival.recv()
    except EOFError:
        raise MxqvaeError(
            "a process that was to share the training ended before it began; a script that trains needs "
            'the line `if __name__ == "__main__":` above its calls'
        ) from None


def _accompany(
    arrival: Connection,
    rank: int,
    num: int,
    address: str,
    num_threads: int,
    target: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    arrival.send(rank)
    torch.set_num_threads(num_threads)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=num)
    with suppress(MxqvaeError):  # the first process does the same, meets the same and says so
        target(*arguments)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
