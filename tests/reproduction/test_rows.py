import dataclasses

import pytest

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.data.batch import PairShape
from mxqvae.errors import MxqvaeError
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.report import table1, table2
from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS, TABLE1_ROWS, TABLE2_ROWS
from mxqvae.reproduction.table1 import Table1Reproduction
from mxqvae.reproduction.table2 import Table2Reproduction


def test_every_row_of_the_paper_has_a_recipe():
    assert [row.label for row in TABLE1_ROWS.values()] == list(table1.POSTER)
    assert [row.label for row in TABLE2_ROWS.values()] == list(table2.POSTER)
    rows = [*TABLE1_ROWS.values(), *TABLE1_EXTRA_ROWS.values(), *TABLE2_ROWS.values()]
    assert all(row.recipe in RECIPES for row in rows)


@pytest.mark.parametrize("row", ["t-i", "i-t-emb", "t-emb-i"])
def test_baselines_share_one_trained_stage_1(row: str, small_run: dict):
    run = Table2Reproduction(**small_run)
    trained, arranged = (step for step in run.steps(row) if step.cost == "autoencoder")
    assert trained.name == "caption-mnist-cpu-i-t-seed3/autoencoder"
    (own,) = (step for step in run.steps("i-t") if step.cost == "autoencoder")
    assert trained.settings == own.settings
    assert arranged.made.parent.parent.name == f"caption-mnist-cpu-{row}-seed3"
    assert arranged.minutes is not None
    assert arranged.minutes < 1


def test_a_model_of_another_size_is_not_taken_for_the_same(
    tiny_rows: None, tiny_recipe: Recipe, small_run: dict, monkeypatch: pytest.MonkeyPatch
):
    run = Table1Reproduction(**small_run)
    run.folder.execute(run.steps("tiny"))

    def larger(pairs: PairShape) -> AutoencoderConfig:
        return dataclasses.replace(tiny_recipe.autoencoder(pairs), identity_mixing=True)

    changed = dataclasses.replace(RECIPES["tiny"], autoencoder=larger)
    monkeypatch.setitem(RECIPES, "tiny", changed)
    with pytest.raises(MxqvaeError, match=r"other settings \(model.identity_mixing False, now True\)"):
        run.folder.check(run.steps("tiny"))
