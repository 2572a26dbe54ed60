"""By which recipe the stage 1 in a model folder was trained, so that its prior and reader follow it."""

from pathlib import Path

from mxqvae.config import configuration, from_json, to_json
from mxqvae.output_file import new_output_file

RECIPE_FILE = "recipe.json"


@configuration
class _TrainedBy:
    """The content of the file."""

    recipe: str
    """Its name."""


def save_recipe_name(folder: Path, name: str) -> None:
    """Write into a model folder by which recipe its stage 1 was trained; of one without a name, nothing."""
    if not name:
        (folder / RECIPE_FILE).unlink(missing_ok=True)  # of the stage 1 before
        return
    with new_output_file(folder / RECIPE_FILE) as path:
        path.write_text(to_json(_TrainedBy(recipe=name)) + "\n")


def recipe_name_of(folder: Path) -> str | None:
    """What `save_recipe_name` wrote; None where nothing did.

    Raises:
        MxqvaeError: The file is damaged.
    """
    path = folder / RECIPE_FILE
    return from_json(_TrainedBy, path.read_bytes(), str(path)).recipe if path.is_file() else None
