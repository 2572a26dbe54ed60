"""A model on disk: `config.json` and `model.safetensors` in one folder. Never pickled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from mxqvae.config import from_json, to_json
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

C = TypeVar("C")
M = TypeVar("M", bound=nn.Module)


def save_pretrained(folder: Path, config: Any, model: nn.Module) -> None:
    """Write the config and the weights into `folder`, each file whole or not at all.

    Parameters become float16; buffers, such as a codebook's running sums, may lie beyond its range and stay.
    """
    parameters = dict(model.named_parameters())
    tensors = {
        name: (value.half() if name in parameters else value).detach().contiguous()
        for name, value in model.state_dict().items()
    }
    with new_output_file(folder / WEIGHTS_FILE) as path:
        path.write_bytes(save(tensors))  # save_file would make a file that others cannot read
    with new_output_file(folder / CONFIG_FILE) as path:
        path.write_text(to_json(config) + "\n")


def load_pretrained(folder: Path, config_class: Any, build: Callable[[Any], M], remedy: str) -> M:
    """Read a model that `save_pretrained` wrote: float32, in eval mode, on the CPU.

    Args:
        config_class: Class of the stored config, or a union of such classes.
        build: Makes the model of such a config.
        remedy: What to do about a bad file, for the error message.

    Raises:
        MxqvaeError: A file that is missing, damaged or does not fit the other.
    """
    model = build(read_config(folder, config_class, remedy))
    weights_path = _existing(folder / WEIGHTS_FILE, remedy)
    try:
        tensors = load_file(weights_path)
    except (SafetensorError, OSError):
        raise MxqvaeError(f"{weights_path} is damaged; {remedy}") from None
    floats = {n: v.float() if v.dtype == torch.float16 else v for n, v in tensors.items()}
    try:
        model.load_state_dict(floats)
    except RuntimeError:
        raise MxqvaeError(f"{weights_path} does not fit {CONFIG_FILE} beside it; {remedy}") from None
    return model.eval()


def read_config(folder: Path, config_class: type[C], remedy: str) -> C:
    """Read the config alone; arguments and errors as in `load_pretrained`."""
    path = _existing(folder / CONFIG_FILE, remedy)
    return from_json(config_class, path.read_bytes(), str(path))


def _existing(path: Path, remedy: str) -> Path:
    if not path.is_file():
        raise MxqvaeError(f"{path} is missing; {remedy}")
    return path
