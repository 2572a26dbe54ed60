import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mxqvae.audit.folder_audit import AuditSummary, FolderAudit
from mxqvae.data.caption_grammar import KINDS
from mxqvae.data.corruption import count_lies
from mxqvae.errors import MxqvaeError
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.reproduction import dirty_data
from mxqvae.reproduction.dirty_data import RECIPE, ROWS, DirtyDataReproduction
from mxqvae.results import DirtyDataResult, read_result


@pytest.fixture
def reproduction(
    tiny_recipe: Recipe, small_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> DirtyDataReproduction:
    """A reproduction with a small model."""
    monkeypatch.setitem(RECIPES, RECIPE, dataclasses.replace(tiny_recipe, caption_length=40))
    return DirtyDataReproduction(**small_run, num_audited=2)


def counts(result: DirtyDataResult) -> tuple[int, int]:
    return sum(result.figures.num_pairs.values()), sum(result.figures.num_lying.values())


def run(reproduction: DirtyDataReproduction, name: str) -> DirtyDataResult:
    reproduction.folder.execute(reproduction.steps(name))
    result = read_result(reproduction.results / f"dirty-data-{name}-seed3.json")
    assert isinstance(result, DirtyDataResult)
    assert (result.row, result.seed) == (ROWS[name].label, 3)
    return result


def test_clean_captions_have_no_lies(reproduction: DirtyDataReproduction):
    result = run(reproduction, "clean")
    assert counts(result) == (40, 0)
    assert set(result.figures.num_pairs) == set(KINDS)
    assert result.figures.precision is None
    assert result.cost.audit == 0
    assert result.figures.audit != result.figures.audit_hidden


def test_cleaned_captions_come_from_an_audit_of_the_dirty_ones(
    reproduction: DirtyDataReproduction, refuse_to_run: Callable[[Any], Any]
):
    dirty = run(reproduction, "20-dirty")
    assert counts(dirty) == (40, 8)
    assert (dirty.figures.precision, dirty.figures.recall) == (None, None)
    corrected = run(reproduction, "20-corrected")
    counted = count_lies(reproduction.work / "data-20-corrected-seed3")
    assert corrected.figures.num_lying == {kind: some.num_lying for kind, some in counted.items()}
    assert counts(corrected)[0] == 40
    assert corrected.cost.audit > 0
    assert corrected.cost.autoencoder > dirty.cost.autoencoder  # both of its stages 1
    shared = {step.name for step in reproduction.steps("20-dirty")[:-1]}
    steps = reproduction.steps("20-filtered")
    assert shared < {step.name for step in steps}
    assert [step.name for step in steps if not reproduction.folder.is_done(step)] == [
        "data-20-filtered-seed3",
        f"{RECIPE}-20-filtered-seed3/autoencoder",
        f"{RECIPE}-20-filtered-seed3/dirty-data",
    ]
    reproduction.folder.execute(refuse_to_run(reproduction.steps("20-corrected")))


def test_a_perfect_audit_leaves_out_what_is_marked(reproduction: DirtyDataReproduction):
    result = run(reproduction, "20-true")
    assert counts(result) == (32, 0)
    assert result.figures.recall is None
    assert result.cost.audit == 0


def test_an_audit_that_was_stopped_counts_as_a_whole(
    reproduction: DirtyDataReproduction, monkeypatch: pytest.MonkeyPatch
):
    steps = reproduction.steps("20-filtered")
    audit = next(step for step in steps if step.cost == "audit")
    summary = AuditSummary(num_pairs=40, num_audited=40, num_contradicted=0, mean_score=1.0)
    last_part = FolderAudit(summary=summary, num_new=10, seconds=3.0)
    reproduction.folder.execute(steps[: steps.index(audit)])
    monkeypatch.setattr(dirty_data, "audit_folder", lambda *arguments, **options: last_part)
    assert audit.run() == 12.0


def test_an_unknown_row_is_named(reproduction: DirtyDataReproduction):
    with pytest.raises(MxqvaeError, match="unknown row '30-dirty'; choose from clean, 10-dirty"):
        reproduction.steps("30-dirty")
