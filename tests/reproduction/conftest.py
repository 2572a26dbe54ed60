import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from mxqvae.data.caption_mnist import CaptionMnistConfig
from mxqvae.evaluation.image_features import EfficientNetFeatures
from mxqvae.progress import NoProgress, Progress
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction import rows
from mxqvae.reproduction.rows import Row


@pytest.fixture
def tiny_rows(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row `tiny` in both tables that takes seconds."""
    # Room for the longest caption that the grammar can make, whichever ones were drawn.
    recipe = dataclasses.replace(tiny_recipe, caption_length=40)
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    for table in (rows.TABLE1_ROWS, rows.TABLE2_ROWS):
        monkeypatch.setitem(table, "tiny", Row(label="MXQ-VAE", recipe="tiny"))


@pytest.fixture
def small_run(mnist_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Where and from what a small reproduction runs."""
    return {
        "work": tmp_path / "work",
        "results": tmp_path / "results",
        "mnist": mnist_folder,
        "seed": 3,
        "data": CaptionMnistConfig(num_train=40, num_test=20),
        "prior_data": CaptionMnistConfig(num_train=60, num_test=20),
    }


class MeanColour:
    """A feature space of three numbers, in place of one that takes seconds."""

    name = "mean colours"

    def extract(self, images: Tensor, description: str, *, progress: Progress = NoProgress()) -> Tensor:
        return images.float().mean(dim=(1, 2)) / 255


@pytest.fixture
def mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frechet distances are of mean colours."""
    monkeypatch.setattr(EfficientNetFeatures, "from_package", MeanColour)


@pytest.fixture
def refuse_to_run() -> Callable[[Any], Any]:
    """A copy of a list of steps, none of which may run."""

    def refuse(steps: list[Any]) -> list[Any]:
        return [dataclasses.replace(step, run=lambda: pytest.fail("a step ran again")) for step in steps]

    return refuse
