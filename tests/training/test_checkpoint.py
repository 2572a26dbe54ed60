from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from mxqvae.errors import MxqvaeError
from mxqvae.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, num_steps_done, save_checkpoint


def parts(seed: int, fused: bool = True) -> tuple[nn.Module, torch.optim.AdamW]:
    """A model, of whose parameters one is frozen and one unused, and its optimizer."""
    torch.manual_seed(seed)
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "frozen": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    model.register_buffer("table", torch.rand(2, 5).t())
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01, fused=fused)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    assert isinstance(model, nn.ModuleDict)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    model["frozen"](model["used"](x)).square().sum().backward()
    optimizer.step()


def weights(model: nn.Module) -> list[list[float]]:
    return [value.flatten().tolist() for value in model.state_dict().values()]


@pytest.mark.parametrize("fused", [True, False])
def test_a_resumed_optimizer_goes_on_bit_for_bit(tmp_path: Path, fused: bool):
    path = tmp_path / "checkpoint.safetensors"
    model, optimizer = parts(0, fused=fused)
    for number in range(5):
        step(model, optimizer, number)
    save_checkpoint(path, model, optimizer, 5, "run")
    resumed, resumed_optimizer = parts(1, fused=fused)
    assert load_checkpoint(path, resumed, resumed_optimizer, "run") == 5
    assert weights(resumed) == weights(model)
    for number in range(5, 9):
        step(model, optimizer, number)
        step(resumed, resumed_optimizer, number)
    assert weights(resumed) == weights(model)


def test_the_steps_of_a_run_are_known_without_its_model(tmp_path: Path):
    assert num_steps_done(tmp_path) == 0
    save_checkpoint(tmp_path / CHECKPOINT_FILE, *parts(0), 5, "run")
    assert num_steps_done(tmp_path) == 5
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"damaged")
    assert num_steps_done(tmp_path) == 0


def test_settings_of_the_optimizer_are_its_own(tmp_path: Path):
    """Moments and step counts are restored; rates and decays belong to the run's config."""
    path = tmp_path / "checkpoint.safetensors"
    model, optimizer = parts(0)
    step(model, optimizer, 0)
    save_checkpoint(path, model, optimizer, 1, "run")
    resumed, _ = parts(0)
    slower = torch.optim.AdamW(resumed.parameters(), lr=0.001)
    load_checkpoint(path, resumed, slower, "run")
    assert slower.param_groups[0]["lr"] == 0.001


def test_before_the_first_step_there_is_no_state_to_restore(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    model, optimizer = parts(0)
    save_checkpoint(path, model, optimizer, 0, "run")
    resumed, resumed_optimizer = parts(1)
    assert load_checkpoint(path, resumed, resumed_optimizer, "run") == 0
    assert weights(resumed) == weights(model)


def test_it_is_one_safetensors_file(tmp_path: Path):
    model, optimizer = parts(0)
    step(model, optimizer, 0)
    save_checkpoint(tmp_path / "checkpoint.safetensors", model, optimizer, 1, '{"seed": 3}')
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        assert file.metadata() == {"step": "1", "identity": '{"seed": 3}'}
        names = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118 - not a dict
    assert names == {"model", "optimizer"}


def test_a_failed_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "checkpoint.safetensors"
    model, optimizer = parts(0)
    save_checkpoint(path, model, optimizer, 0, "run")
    before = path.read_bytes()

    write = Path.write_bytes

    def full_disk(self: Path, content: bytes) -> int:
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, model, optimizer, 1, "run")
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(MxqvaeError) as refusal:
        load_checkpoint(path, *parts(0), "run")
    assert str(refusal.value).startswith(f"checkpoint {path} is damaged (")
    assert str(refusal.value).endswith("; delete it to train from the start")
    assert "\n" not in str(refusal.value)


def test_a_file_cut_short_is_named(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, *parts(0), 0, "run")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MxqvaeError, match="is damaged"):
        load_checkpoint(path, *parts(0), "run")


def test_another_run_is_refused_before_anything_changes(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, *parts(0), 0, "run")
    model, optimizer = parts(1)
    before = weights(model)
    with pytest.raises(
        MxqvaeError, match="belongs to a run with other settings or on other data; delete it to train"
    ):
        load_checkpoint(path, model, optimizer, "another")
    assert weights(model) == before


def test_a_model_that_has_changed_since_is_refused(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, *parts(0), 0, "run")
    model = nn.Linear(3, 2)
    with pytest.raises(MxqvaeError, match="was written by another version of mxqvae; delete it to train"):
        load_checkpoint(path, model, torch.optim.AdamW(model.parameters()), "run")
