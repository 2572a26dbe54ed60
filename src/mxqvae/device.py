"""What this machine computes on: a GPU where there is one that CUDA knows, else the CPU, and its cores.

`CUDA_VISIBLE_DEVICES=` in front of a command hides the GPU from it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")

CONTROL_GROUPS, CONTROL_GROUPS_FILE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux says what time containers may use, and to which groups a process belongs."""


def find_device() -> torch.device:
    """The GPU of this process (under `torchrun` each has its own), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")


def num_cores() -> int:
    """Cores that this process may use, no more than its container's quota of time comes to (Linux)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """Cores that each control group around this process may use, in either layout."""
    with suppress(OSError):
        for line in CONTROL_GROUPS_FILE.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):  # the second version: this group and all around it
                group = Path(line.removeprefix("0::/"))
                for path in (group, *group.parents):
                    with suppress(OSError, ValueError):  # no quota: "max"
                        quota, period = (CONTROL_GROUPS / path / "cpu.max").read_text().split()
                        yield int(quota) / int(period)
    with suppress(OSError, ValueError):  # the first version; no quota: -1
        quota, period = (
            int((CONTROL_GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
        if quota > 0:
            yield quota / period


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
