from collections.abc import Callable
from typing import Any

import pytest

from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS, TABLE1_ROWS, Row
from mxqvae.reproduction.table1 import Table1Reproduction
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
