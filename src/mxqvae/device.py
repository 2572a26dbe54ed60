"""What this machine computes on: a GPU where there is one that CUDA knows, else the CPU, and its cores.

`CUDA_VISIBLE_DEVICES=` in front of a command hides the GPU from it.
"""

import os
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")

CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how many microseconds of how many a container may use, or "max"."""


def find_device() -> torch.device:
    """The GPU of this process (under `torchrun` each has its own), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")


def num_cores() -> int:
    """Cores that this process may use, no more than a container's quota of time comes to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA_FILE.read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no container of this kind, or "max", one without a quota
        return cores


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` has instructions for matrix products in bfloat16.

    Without them a CPU emulates bfloat16: both stages of `cpu` were 12 times slower to train than in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # last: ARM


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A tensor, or a tuple or named tuple of such batches, on `device`; anything else as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device)  # pyright: ignore[reportReturnType] - a tensor is what came in
    if isinstance(batch, tuple):
        parts = [to_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
