import re
import subprocess
from pathlib import Path

import pytest
import torch

from mxqvae import device, provenance


def test_the_commit_tells_whether_the_source_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    source = tmp_path / "source.py"
    source.write_text("first")
    monkeypatch.setattr(provenance, "__file__", str(source))
    git("init")
    assert provenance.current_commit() == "unknown"  # in somebody's clone, but not of it
    git("add", ".")
    git("commit", "-m", "first")
    assert re.fullmatch("[0-9a-f]{40}", provenance.current_commit())
    source.write_text("second")
    assert re.fullmatch("[0-9a-f]{40} with changes", provenance.current_commit())


@pytest.mark.parametrize("able", [True, False])
def test_a_cpu_that_does_not_multiply_bf16_is_told_from_one_that_does(
    monkeypatch: pytest.MonkeyPatch, able: bool
):
    monkeypatch.setattr(device, "multiplies_bf16", lambda device: able)
    described = provenance.describe_hardware(torch.device("cpu"))
    assert described.endswith(", without bfloat16") == (not able)


def test_hardware_and_versions_are_named():
    assert re.fullmatch(r"[1-9]\d* cores? of \S.*", provenance.describe_hardware(torch.device("cpu")))
    versions = provenance.list_versions()
    assert versions["torch"] == torch.__version__
    assert versions.keys() == {"python", *provenance.RECORDED_PACKAGES}
