from pathlib import Path

import pytest
import torch
from torch import nn

from mxqvae.config import configuration
from mxqvae.errors import MxqvaeError
from mxqvae.pretrained import CONFIG_FILE, WEIGHTS_FILE, load_pretrained, save_pretrained


@configuration
class LineConfig:
    """A line through points of so many dimensions."""

    size: int = 3
    """Dimensions."""


class Line(nn.Module):
    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.weight = nn.Linear(config.size, 1)
        self.register_buffer("num_points", torch.tensor(2**40))
        self.register_buffer("mean", torch.rand(2, 3).t())


def load(folder: Path) -> Line:
    return load_pretrained(folder, LineConfig, Line, "draw it again")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pretrained(tmp_path / "line", LineConfig(), Line(LineConfig()))
    return tmp_path / "line"


def test_parameters_are_loaded_as_float16_rounds_them_and_buffers_as_they_were(tmp_path: Path):
    line = Line(LineConfig(size=5))
    save_pretrained(tmp_path, LineConfig(size=5), line)
    loaded = load(tmp_path)
    assert not loaded.training
    parameters = dict(line.named_parameters())
    for name, value in line.state_dict().items():
        expected = value.half().float() if name in parameters else value
        assert loaded.state_dict()[name].dtype == expected.dtype
        assert loaded.state_dict()[name].equal(expected)


def test_saving_leaves_the_model_as_it_was(tmp_path: Path):
    line = Line(LineConfig())
    before = {name: value.clone() for name, value in line.state_dict().items()}
    save_pretrained(tmp_path, LineConfig(), line)
    assert line.training
    assert all(value.equal(before[name]) for name, value in line.state_dict().items())


def test_a_folder_holds_two_files_and_nothing_else(folder: Path):
    save_pretrained(folder, LineConfig(), Line(LineConfig()))
    assert {path.name for path in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(MxqvaeError) as refusal:
        load(folder)
    assert str(refusal.value) == f"{folder / name} is missing; draw it again"


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(MxqvaeError, match=r"nowhere/config\.json is missing; draw it again$"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 100])
def test_damaged_weights_are_named(folder: Path, content: bytes):
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(MxqvaeError) as refusal:
        load(folder)
    assert str(refusal.value) == f"{folder / WEIGHTS_FILE} is damaged; draw it again"


def test_a_file_cut_short_is_named(folder: Path):
    whole = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(whole[:-1])
    with pytest.raises(MxqvaeError, match=r"model\.safetensors is damaged; draw it again$"):
        load(folder)


def test_files_of_two_models_are_refused(folder: Path):
    (folder / CONFIG_FILE).write_text('{"size": 4}')
    with pytest.raises(MxqvaeError) as refusal:
        load(folder)
    assert (
        str(refusal.value) == f"{folder / WEIGHTS_FILE} does not fit {CONFIG_FILE} beside it; draw it again"
    )


def test_a_bad_config_is_named(folder: Path):
    (folder / CONFIG_FILE).write_text('{"sise": 4}')
    with pytest.raises(MxqvaeError) as refusal:
        load(folder)
    expected = f"{folder / CONFIG_FILE}: unknown key 'sise'; remove it, or choose from size"
    assert str(refusal.value) == expected
