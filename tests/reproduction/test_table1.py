import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.detection import open_source
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS, TABLE1_ROWS, Row
from mxqvae.reproduction.table1 import CaptionedImagesTable1Reproduction, Table1Reproduction
from mxqvae.reproduction.table3 import Table3Reproduction
from mxqvae.results import Table1Result, read_result


def test_a_row_runs_from_raw_digits_to_a_result(
    tiny_rows: None, small_run: dict[str, Any], refuse_to_run: Callable[[Any], Any]
):
    run = Table1Reproduction(**small_run)
    steps = run.steps("tiny")
    assert [step.name for step in steps] == ["data", "degree", "tiny-seed3/autoencoder", "tiny-seed3/table1"]
    run.folder.execute(steps)
    result = read_result(run.results / "table1-tiny-seed3.json")
    assert isinstance(result, Table1Result)
    assert (result.row, result.seed) == ("MXQ-VAE", 3)
    assert (run.results / "table1-tiny-seed3.png").exists()
    assert [degree.num_pairs for degree in result.figures.kinds["Quad4"].degrees] == [4] * 5
    assert result.cost.prior == 0
    run.folder.execute(refuse_to_run(run.steps("tiny")))


@pytest.mark.parametrize(("name", "row"), (TABLE1_ROWS | TABLE1_EXTRA_ROWS).items())
def test_every_row_trains_and_scores(name: str, row: Row, tiny_recipes: None, small_run: dict[str, Any]):
    run = Table1Reproduction(**small_run)
    run.folder.execute(run.steps(name))
    result = read_result(run.results / f"table1-{name}-seed3.json")
    assert isinstance(result, Table1Result)
    assert (result.row, result.recipe) == (row.label, row.recipe)


@pytest.fixture
def of_photos(
    coloured_photos: Path, tiny_recipe_of: Callable[[str], Recipe], tmp_path: Path, monkeypatch: Any
) -> CaptionedImagesTable1Reproduction:
    """A reproduction of small models on photos, at 64 pixels."""
    source = open_source(str(coloured_photos.parent / "source"), AskedColumns(split="part"))
    config = CaptionedImagesConfig(image_size=64)
    build_captioned_images(source, tmp_path / "data", config, draw_sheet=contact_sheet)
    run = CaptionedImagesTable1Reproduction(
        work=tmp_path / "work",
        results=tmp_path / "results",
        data=tmp_path / "data",
        data_set="buses",
        recipe="photos-cpu",
        seed=3,
    )
    tiny = {row.recipe: tiny_recipe_of(row.recipe) for row in run.rows.values()}
    for name, recipe in tiny.items():
        monkeypatch.setitem(RECIPES, name, recipe)
    return run


@pytest.mark.parametrize("name", TABLE1_ROWS)
def test_every_row_trains_and_scores_on_photos(
    name: str, of_photos: CaptionedImagesTable1Reproduction, refuse_to_run: Callable[[Any], Any]
):
    recipe = "photos-cpu" if name == "mxqvae" else f"photos-cpu-{name}"
    steps = of_photos.steps(name)
    assert [step.name for step in steps] == [
        "degree",
        f"{recipe}-seed3/autoencoder",
        f"{recipe}-seed3/table1",
    ]
    assert not of_photos.work.exists()
    of_photos.folder.execute(steps)
    result = read_result(of_photos.results / f"table1-buses-{recipe}-seed3.json")
    assert isinstance(result, Table1Result)
    assert (result.row, result.recipe, result.data_set) == (TABLE1_ROWS[name].label, recipe, "buses")
    assert list(result.figures.kinds) == ["Quad1", "Quad2", "Quad4"]
    assert result.cost.degree > 0
    assert (of_photos.results / f"table1-buses-{recipe}-seed3.png").exists()
    of_photos.folder.execute(refuse_to_run(of_photos.steps(name)))


def test_tables_1_and_3_share_stage_1(of_photos: CaptionedImagesTable1Reproduction):
    fields = ("work", "results", "data", "data_set", "recipe", "seed")
    of_table3 = Table3Reproduction(**{name: getattr(of_photos, name) for name in fields})
    (own,) = (step for step in of_photos.steps("mxqvae") if step.cost == "autoencoder")
    (other,) = (step for step in of_table3.steps("mxqvae") if step.cost == "autoencoder")
    assert (own.name, own.made, own.settings) == (other.name, other.made, other.settings)


def test_rows_that_photos_do_not_have_are_named(of_photos: CaptionedImagesTable1Reproduction):
    with pytest.raises(MxqvaeError, match="unknown row 'masks-only'; choose from only-sharing-c, without-tc"):
        of_photos.steps("masks-only")
    with pytest.raises(MxqvaeError, match="--recipe photos-paper has no row without-tc; take photos-cpu"):
        dataclasses.replace(of_photos, recipe="photos-paper").steps("without-tc")


def test_photos_without_test_pairs_are_named(of_photos: CaptionedImagesTable1Reproduction):
    manifest = of_photos.data / "manifest.json"
    tree = json.loads(manifest.read_text())
    del tree["splits"]["test"]
    manifest.write_text(json.dumps(tree))
    with pytest.raises(MxqvaeError, match="no split 'test'; it has train"):
        of_photos.steps("mxqvae")
