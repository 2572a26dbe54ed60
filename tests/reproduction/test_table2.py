import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mxqvae.data.caption_grammar import CENTRE, Slot
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.digit_classifier import DigitClassifierConfig
from mxqvae.evaluation.judge import JudgeConfig
from mxqvae.generation.sample_folder import SampleFolder, read_sample_folder, write_sample_folder
from mxqvae.provenance import current_commit
from mxqvae.reproduction import table2
from mxqvae.reproduction.rows import TABLE2_ROWS, Row
from mxqvae.reproduction.table2 import Table2Reproduction, share_drawn_anew
from mxqvae.results import Table2Result, read_result
from mxqvae.training.loop import TrainingConfig

STEPS = [
    "data",
    "prior-data",
    "judge",
    "tiny-seed3/autoencoder",
    "tiny-seed3/prior",
    "tiny-seed3-samples-as-drawn",
    "tiny-seed3-samples",
    "tiny-seed3/table2",
]


JUDGE = JudgeConfig(
    classifier=DigitClassifierConfig(widths=(4, 4, 4)),
    training=TrainingConfig(num_steps=2, batch_size=8, num_warmup_steps=1, bf16=False),
)


@pytest.fixture
def run(tiny_rows: None, small_run: dict[str, Any]) -> Table2Reproduction:
    """A reproduction of the row `tiny`."""
    return Table2Reproduction(**small_run, judge=JUDGE, num_samples=5)


@pytest.mark.parametrize(("name", "row"), TABLE2_ROWS.items())
def test_every_row_trains_samples_and_scores(
    name: str, row: Row, tiny_recipes: None, small_run: dict[str, Any]
):
    reproduction = Table2Reproduction(**small_run, judge=JUDGE, num_samples=5)
    reproduction.folder.execute(reproduction.steps(name))
    result = read_result(small_run["results"] / f"table2-{name}-seed3.json")
    assert isinstance(result, Table2Result)
    assert (result.row, result.recipe) == (row.label, row.recipe)
    assert result.figures.samples.num_pairs == 5


def test_a_row_runs_from_raw_digits_to_a_result(run: Table2Reproduction, refuse_to_run: Callable[[Any], Any]):
    steps = run.steps("tiny")
    assert [step.name for step in steps] == STEPS
    assert not run.work.exists()
    run.folder.execute(steps)
    result = read_result(run.results / "table2-tiny-seed3.json")
    assert isinstance(result, Table2Result)
    assert (result.row, result.recipe, result.seed) == ("MXQ-VAE", "tiny", 3)
    assert (run.results / "table2-tiny-seed3.png").exists()
    figures = result.figures
    assert figures.samples.num_pairs == figures.samples_as_drawn.num_pairs == 5
    assert figures.samples == figures.samples_refined
    assert figures.drawn_anew == 0
    assert figures.ceiling.num_pairs == figures.floor.num_pairs == 20
    assert figures.ceiling.slots.position == 1
    assert figures.memorization.num_training == 40
    assert figures.likelihood.all_codes.num_codes == 8
    assert figures.restored_captions == 0  # four steps teach no caption
    assert figures.reconstructed is not None
    assert figures.reconstructed.num_pairs == 20
    assert len(read_sample_folder(run.work / STEPS[-2]).captions) == 5
    assert json.loads((run.work / "data" / "manifest.json").read_text())["seed"] == 0
    # Stage 2 learned from pairs of its own.
    indices = load_file(run.work / "tiny-seed3" / "runs" / "prior" / "indices.safetensors")["indices"]
    assert len(indices) == 60
    assert result.commit == current_commit()
    assert result.cost.degree == 0

    assert run.picture_rows([result]) == run.results / "table2.png"
    assert (run.results / "table2.png").exists()

    # Again: nothing is left to do.
    run.folder.execute(refuse_to_run(run.steps("tiny")))


def test_a_run_goes_on_where_it_was_stopped(run: Table2Reproduction, refuse_to_run: Callable[[Any], Any]):
    def stop() -> float:
        raise KeyboardInterrupt

    data, _, judge, *_ = run.steps("tiny")
    with pytest.raises(KeyboardInterrupt):
        run.folder.execute([data, dataclasses.replace(judge, run=stop)])
    assert {path.name for path in run.work.iterdir()} == {"data", "steps.json"}
    assert not run.results.exists()
    run.folder.execute(refuse_to_run([data]))


def test_the_paper_s_number_of_samples():
    assert table2.NUM_SAMPLES == 10_000


def test_a_sample_with_another_image_or_caption_was_drawn_anew():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    others = images.copy()
    others[1, 0, 0, 2] = 1
    samples, first_draws = SampleFolder(images, list("aaaa")), SampleFolder(others, list("aaba"))
    assert share_drawn_anew(samples, first_draws) == 0.5
    assert share_drawn_anew(samples, samples) == 0


@pytest.mark.parametrize(
    ("row", "minutes"),
    [("mxqvae", [4.0, 8.6, 13.6]), ("i-t", [4.0]), ("t-emb-i", [5.8])],  # tokens: 104 codes, not 72
)
def test_sampling_costs_by_its_codes_and_later_steps(row: str, minutes: list[float], small_run: dict):
    steps = Table2Reproduction(**small_run).steps(row)
    assert [step.minutes for step in steps if step.cost == "sampling"] == minutes


class RedOnes:
    """A judge that sees a red 1 in the middle of every image."""

    def read(self, images: torch.Tensor) -> list[tuple[Slot, ...]]:
        return [(Slot(CENTRE, 1, "red"),)] * len(images)


def samples_of(*captions: str) -> SampleFolder:
    return SampleFolder(np.zeros((len(captions), 64, 64, 3), dtype=np.uint8), list(captions))


def test_rows_stand_side_by_side_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: dict[str, Any] = {}

    def contact_sheet(images: np.ndarray, captions: list[str], **options: Any) -> Image.Image:
        drawn.update(num_images=len(images), captions=captions, **options)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(table2, "contact_sheet", contact_sheet)
    lines = {
        "I&T": samples_of("This is red 1.", "This is blue 2.", "This is white 3."),
        "MXQ-VAE": samples_of("This is this.", "This is red 1."),
    }
    table2.write_row_sheet(tmp_path / "table2.png", lines, RedOnes())
    assert drawn == {
        "num_images": 4,
        "columns": 2,
        "captions": [
            "I&T, sample 0: This is red 1.",
            "I&T, sample 1: This is blue 2.",
            "MXQ-VAE, sample 0: This is this.",
            "MXQ-VAE, sample 1: This is red 1.",
        ],
        "verdicts": [True, False, False, True],
    }
    assert (tmp_path / "table2.png").exists()


def test_the_picture_has_each_row_that_kept_its_samples_by_the_lowest_seed(
    small_run: dict[str, Any], table2_result: Table2Result, monkeypatch: pytest.MonkeyPatch
):
    pictured: dict[str, SampleFolder] = {}
    monkeypatch.setattr(table2, "write_row_sheet", lambda path, lines, judge: pictured.update(lines))
    monkeypatch.setattr(table2.Judge, "from_pretrained", lambda folder: RedOnes())
    reproduction = Table2Reproduction(**small_run)
    results = [
        dataclasses.replace(table2_result, row=row.label, recipe=row.recipe, seed=seed)
        for row in TABLE2_ROWS.values()
        for seed in (8, 7, 6)
    ]
    assert reproduction.picture_rows(results) is None
    for row, seed in (("mxqvae", 8), ("mxqvae", 7), ("t-i", 8)):
        folder = small_run["work"] / f"{TABLE2_ROWS[row].recipe}-seed{seed}-samples"
        write_sample_folder([samples_of(f"{row} {seed}", *"abcdefghij")], folder, seed=seed)
    assert reproduction.picture_rows(results) == small_run["results"] / "table2.png"
    first = {label: line.captions[0] for label, line in pictured.items()}
    assert list(first.items()) == [("T&I", "t-i 8"), ("MXQ-VAE", "mxqvae 7")]
    assert {len(line.captions) for line in pictured.values()} == {table2.NUM_PICTURED}


def test_an_unknown_row_is_named(run: Table2Reproduction):
    with pytest.raises(MxqvaeError, match="unknown row 'coco'; choose from i-t, t-i"):
        run.steps("coco")


def test_another_number_of_samples_is_not_taken_for_the_same(run: Table2Reproduction):
    run.folder.execute(run.steps("tiny")[:6])
    other = dataclasses.replace(run, num_samples=6)
    with pytest.raises(MxqvaeError, match=r"other settings \(num_samples 5, now 6\)"):
        other.folder.check(other.steps("tiny"))
