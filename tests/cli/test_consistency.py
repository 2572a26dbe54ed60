import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.consistency import score_consistency
from mxqvae.evaluation.digit_classifier import DigitClassifier
from mxqvae.evaluation.judge import Judge, JudgeConfig, JudgeRecord

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that has learnt nothing: what it says is still the same every time."""
    torch.manual_seed(0)
    config = JudgeConfig()
    record = JudgeRecord(config=config, test_accuracy=0.125, training_seconds=0)
    folder = tmp_path_factory.mktemp("judge")
    Judge(DigitClassifier(config.classifier), record).save_pretrained(folder)
    return folder


@pytest.fixture
def figures(run: Run, samples: Path, judge: Path, caption_mnist_small: Path) -> dict:
    code, out, err = run(
        "evaluate", "consistency", samples, "--judge", judge, "--data", caption_mnist_small, "--json"
    )
    assert (code, err) == (0, "")
    return json.loads(out)


def test_json_holds_the_whole_score(figures: dict, test_pairs: PairDataset, judge: Path):
    score = score_consistency(test_pairs.images, test_pairs.captions, Judge.from_pretrained(judge))
    assert figures["samples"] == json.loads(json.dumps(dataclasses.asdict(score)))
    assert figures["judge_accuracy"] == 0.125


def test_real_pairs_reach_their_own_ceiling(figures: dict):
    assert figures["ceiling"] == figures["samples"]
    assert figures["floor"]["consistent"]["rate"] <= figures["ceiling"]["consistent"]["rate"]


def test_figures_are_written_to_a_file(run: Run, samples: Path, judge: Path, tmp_path: Path):
    out = tmp_path / "results" / "score.json"
    code, printed, _ = run("evaluate", "consistency", samples, "--judge", judge, "--out", out, "--json")
    assert code == 0
    assert json.loads(out.read_text()) == json.loads(printed)
    assert "ceiling" not in json.loads(printed)


def test_the_table_tells_kinds_bounds_and_judge(
    run: Run, samples: Path, judge: Path, caption_mnist_small: Path
):
    code, out, _ = run("evaluate", "consistency", samples, "--judge", judge, "--data", caption_mnist_small)
    assert code == 0
    for part in ("Single", "Quad4", "Average", "Ceiling", "Floor", "parse: 100.00%", "12.50% right"):
        assert part in out
    _, out, _ = run("evaluate", "consistency", samples, "--judge", judge)
    assert "Ceiling" not in out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no samples", "nowhere is not a folder"),
        ("no judge", "nowhere/config.json is missing"),
        ("damaged judge", "model.safetensors is damaged"),
        ("no data", "nowhere"),
        ("no caption column", "caption"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, samples: Path, judge: Path, caption_mnist_small: Path, tmp_path: Path, damage: str, message: str
):
    arguments = {"samples": samples, "judge": judge, "data": caption_mnist_small}
    match damage:
        case "no samples" | "no judge" | "no data":
            arguments[damage.removeprefix("no ")] = tmp_path / "nowhere"
        case "damaged judge":
            arguments["judge"] = tmp_path / "judge"
            arguments["judge"].mkdir()
            (tmp_path / "judge" / "config.json").write_bytes((judge / "config.json").read_bytes())
            weights = (judge / "model.safetensors").read_bytes()
            (tmp_path / "judge" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        case "no caption column":
            arguments["data"] = tmp_path / "data set"
            (tmp_path / "data set" / "data").mkdir(parents=True)
            table = pa.table({"image": [b""]})
            pq.write_table(table, tmp_path / "data set" / "data" / "test-00000-of-00001.parquet")
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate",
        "consistency",
        arguments["samples"],
        *("--judge", arguments["judge"]),
        *("--data", arguments["data"]),
        *("--out", out),
    )
    assert (code, printed) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not out.exists()
