import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.memorization import measure_memorization

Run = Callable[..., tuple[int, str, str]]


def test_json_and_file_hold_the_whole_score(
    run: Run, samples: Path, test_pairs: PairDataset, caption_mnist_small: Path, tmp_path: Path
):
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate", "memorization", samples, "--data", caption_mnist_small, "--out", out, "--json"
    )
    assert (code, err) == (0, "")
    train = PairDataset.from_parquet(caption_mnist_small, "train")
    score = measure_memorization(test_pairs.images, train.images, test_pairs.images)
    assert json.loads(printed) == json.loads(out.read_text()) == dataclasses.asdict(score)
    assert score.samples == score.test


def test_the_table_and_the_sheet(
    run: Run, samples: Path, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    sheet = tmp_path / "pictures" / "nearest.png"
    code, out, err = run("evaluate", "memorization", samples, "--data", caption_mnist_small, "--sheet", sheet)
    assert code == 0
    for part in ("300 training images", "Samples", "Test images", "Copies", "half of them: 50.00%"):
        assert part in out
    assert "nearest to samples: 60 images" in err
    assert "nearest to test images: 60 images" in err
    assert "Reconstructed" not in out
    with Image.open(sheet) as picture:
        assert picture.width > picture.height // 2 > 300
    assert list(sheet.parent.iterdir()) == [sheet]


def test_reconstructed_test_images_are_a_second_reference(
    run: Run, samples: Path, tiny_model: Path, caption_mnist_small: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    command = ("evaluate", "memorization", samples, "--data", caption_mnist_small, "--weights", tiny_model)
    code, out, err = run(*command)
    assert code == 0
    assert "nearest to reconstructed test images: 60 images" in err
    assert "Reconstructed" in out
    assert "5% of their reconstructions: " in out
    reference = json.loads(run(*command, "--json")[1])["reconstructed"]
    assert reference["distances"]["num_copies"] == 0
    assert 0 <= reference["nearer_than_p05"] <= reference["nearer_than_median"] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": "nowhere"}, "nowhere is not a folder"),
        ({"data": "nowhere"}, "nowhere"),
        ({"weights": "nowhere"}, "nowhere"),
        ({"sheet": "nearest.jpg"}, "--sheet writes a PNG file; end its name in .png, not as in"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, samples: Path, caption_mnist_small: Path, tmp_path: Path, change: dict[str, str], message: str
):
    places = {"samples": samples, "data": caption_mnist_small, "sheet": tmp_path / "nearest.png"}
    places |= {name: tmp_path / place for name, place in change.items()}
    options = [word for name, place in places.items() if name != "samples" for word in (f"--{name}", place)]
    code, out, err = run("evaluate", "memorization", places["samples"], *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
