"""Checkpoints: all that a run needs to go on as if it had never stopped, in one safetensors file.

Randomness is a function of (seed, step), see `training.loop`, so no random state is stored.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

CHECKPOINT_FILE = "checkpoint.safetensors"
"""Its name in the folder of a run."""


def save_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer, step: int, identity: str) -> None:
    """Write model, optimizer and `step` to `path`, atomically.

    Args:
        identity: What the run is (its configs as JSON); `load_checkpoint` refuses another.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    with new_output_file(path) as partial:
        partial.write_bytes(save(contiguous, metadata={"step": str(step), "identity": identity}))


def load_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer, identity: str) -> int:
    """Restore model and optimizer from `path`; returns the number of steps done.

    Raises:
        MxqvaeError: A damaged file, or a checkpoint of another run or of another version's model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise MxqvaeError(
            f"checkpoint {path} is damaged ({error}); delete it to train from the start"
        ) from None
    if metadata.get("identity") != identity:
        raise MxqvaeError(
            f"checkpoint {path} belongs to a run with other settings or on other data; "
            "delete it to train from the start, or train into another folder"
        )
    weights = {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise MxqvaeError(
            f"checkpoint {path} was written by another version of mxqvae; "
            "delete it to train from the start, or train into another folder"
        ) from None
    _load_optimizer(optimizer, {n: v for n, v in tensors.items() if n.startswith("optimizer.")})
    return int(metadata["step"])


def num_steps_done(folder: Path) -> int:
    """Steps that the run in `folder` has behind it, for plans; 0 where no checkpoint can be read."""
    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            return int((file.metadata() or {}).get("step", 0))
    except (SafetensorError, OSError):
        return 0


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        _, index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
