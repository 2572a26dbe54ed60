"""Where a result comes from: source, machine and packages."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

RECORDED_PACKAGES = ("mxqvae", "torch", "numpy", "tokenizers", "pillow")
"""The packages whose versions can change a figure."""


def current_commit() -> str:
    """Return the commit of this source, followed by " with changes" where files differ from it.

    A package that was not installed from a clone gives "unknown".
    """
    source = Path(__file__)
    # An installed copy may lie inside somebody else's clone: ask whether this very file is tracked.
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return "unknown"
    commit = _git(source.parent, "rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit} with changes" if _git(source.parent, "status", "--porcelain", ".") else commit


def describe_hardware(device: "torch.device") -> str:
    """Return what a run on `device` uses, such as `2 cores of AMD EPYC 9R14` or `1 NVIDIA H100`.

    A CPU that does not multiply bfloat16, and so trains in float32, is said to be `without bfloat16`.
    """
    if device.type == "cuda":
        import torch

        return f"1 {torch.cuda.get_device_name(device)}"
    from mxqvae.device import multiplies_bf16, num_cores

    precision = "" if multiplies_bf16(device) else ", without bfloat16"
    num = num_cores()
    return f"{num} core{'s' * (num != 1)} of {_processor_name()}{precision}"


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of `RECORDED_PACKAGES`."""
    packages = {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **packages}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it fails or is not installed."""
    try:
        run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
