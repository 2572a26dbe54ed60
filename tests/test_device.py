"""No GPU here: torch's meta device stands in for one. It mixes with no other, as a GPU does not."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mxqvae import device
from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.batch import PairBatch, PairShape
from mxqvae.device import find_device, multiplies_bf16, num_cores, to_device
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import Recipe

META = torch.device("meta")
SHAPE = PairShape(vocab_size=31, caption_length=40, image_size=64)


@pytest.fixture(autouse=True)
def what_meta_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device has no autocast, and counts nothing."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: nullcontext())
    monkeypatch.setattr(torch, "bincount", lambda values, minlength: values.new_zeros(minlength))


def test_batches_of_any_form_move_whole():
    batch = (PairBatch(torch.zeros(2, 3), torch.ones(2)), torch.arange(2), "seed 0")
    pairs, rows, rest = to_device(batch, META)
    assert isinstance(pairs, PairBatch)
    assert {tensor.device for tensor in (*pairs, rows)} == {META}
    assert rest == "seed 0"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"a/cpu.max": "max 100000\n", "a/b/cpu.max": "300000 100000\n", "cpu.max": "9900000 100000\n"}, 3),
        ({"a/b/cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_cores_are_no_more_than_a_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(device, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(device, "CONTROL_GROUPS_FILE", tmp_path / "mine")
    assert num_cores() == 8
    (tmp_path / "mine").write_text("1:name=systemd:/\n0::/a/b\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert num_cores() == expected


def test_each_process_of_torchrun_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device() == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_device() == torch.device("cuda:1")


@pytest.mark.parametrize("extension", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_cpu_multiplies_bf16_if_it_has_instructions_for_it(monkeypatch: pytest.MonkeyPatch, extension: str):
    laptop = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: laptop)
    assert not multiplies_bf16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: laptop | {extension: True})
    assert multiplies_bf16(torch.device("cpu"))


def test_the_names_of_bf16_instructions_are_those_that_torch_knows():
    known = torch.cpu.get_capabilities()
    assert {"x86_64": "avx512_bf16", "arm64": "bf16"}.get(known["architecture"], "architecture") in known


@pytest.mark.parametrize("name", ["caption-mnist-cpu", "caption-mnist-paper", "caption-mnist-cpu-i-t"])
def test_both_stages_compute_where_they_are(tiny_recipe_of: Callable[[str], Recipe], name: str):
    recipe = tiny_recipe_of(name)
    config = recipe.autoencoder(SHAPE)
    if isinstance(config, MXQVAEConfig):
        config = replace(config, masking=None)  # drawn on the CPU, for the same draws everywhere
    autoencoder, prior = build_autoencoder(config).to(META).eval(), Prior(recipe.prior(config)).to(META)
    batch = to_device(PairBatch(torch.rand(2, 3, 64, 64), torch.full((2, 40), 7)), META)
    assert autoencoder.loss(batch).total.device == META
    indices = autoencoder.encode(batch)
    assert autoencoder.decode(indices).images.device == META
    prior.loss(indices).total.backward()
    assert all(parameter.grad is not None for parameter in prior.parameters())
