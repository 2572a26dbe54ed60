import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mxqvae import encoding
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation import memorization
from mxqvae.evaluation.memorization import ReconstructedPairs, kinds_of, measure_memorization
from mxqvae.generation.sample_folder import write_sample_folder

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
    kinds = kinds_of(test_pairs.captions, test_pairs)
    score = measure_memorization(test_pairs.images, train.images, test_pairs.images, kinds=kinds)
    assert json.loads(printed) == json.loads(out.read_text()) == dataclasses.asdict(score)
    assert score.samples == score.test


def test_the_table_and_the_sheet(
    run: Run, samples: Path, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    sheet = tmp_path / "pictures" / "nearest.png"
    code, out, err = run("evaluate", "memorization", samples, "--data", caption_mnist_small, "--sheet", sheet)
    assert code == 0
    kind = "5% of the test images of their own kind: "
    for part in ("300 training images", "Samples", "Test images", "Copies", "half of them: 50.00%", kind):
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


class TestSeveralCaptionsAnImage:
    """30 training images and 20 test images, every other one with two captions."""

    @pytest.fixture
    def sampled(self, coloured_photos: Path, tmp_path: Path) -> Path:
        """The last two training images, mirrored, as if they had been sampled."""
        images = PairDataset.from_parquet(coloured_photos, "train").images[[28, 29]]
        write_sample_folder([PairDataset(images.flip(2), ["a", "b"])], tmp_path / "samples", seed=0)
        return tmp_path / "samples"

    def test_a_recipe_that_mirrors_finds_mirrored_copies(
        self, run: Run, sampled: Path, coloured_photos: Path
    ):
        command = ("evaluate", "memorization", sampled, "--data", coloured_photos, "--json")
        for recipe, num_copies in (((), 0), (("--recipe", "photos-cpu"), 2)):
            score = json.loads(run(*command, *recipe)[1])
            assert (score["num_training"], score["samples"]["num_copies"]) == (30, num_copies)
            assert score["nearer_than_p05_of_kind"] is None
        code, _, err = run(*command, "--recipe", "caption-mnist-cpu")
        assert code == 2
        assert "recipe 'caption-mnist-cpu' is for Caption MNIST" in err

    def test_the_sheet_names_the_caption_of_the_training_image(
        self,
        run: Run,
        sampled: Path,
        coloured_photos: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        train = PairDataset.from_parquet(coloured_photos, "train")
        first_captions = [train.captions[train.image_numbers.tolist().index(number)] for number in range(30)]
        texts = []
        draw = memorization.contact_sheet
        monkeypatch.setattr(
            memorization, "contact_sheet", lambda images, lines: texts.extend(lines) or draw(images, lines)
        )
        command = ("evaluate", "memorization", sampled, "--data", coloured_photos, "--recipe", "photos-cpu")
        assert run(*command, "--sheet", tmp_path / "sheet.png")[0] == 0
        assert texts[1::2] == [
            f"Training pair {number}, mirrored, distance 0.000: {first_captions[number]}"
            for number in (28, 29)
        ]

    def test_each_test_image_is_reconstructed_once(
        self,
        run: Run,
        sampled: Path,
        coloured_photos: Path,
        tiny_model: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        """A stage 1 that loses nothing leaves the test images as they are, one for each sample."""
        monkeypatch.setattr(encoding, "encode_pairs", lambda autoencoder, tokenizer, pairs, **_: pairs)
        monkeypatch.setattr(
            memorization,
            "reconstruct_pairs",
            lambda _, pairs: ReconstructedPairs(pairs.images[pairs.image_numbers], pairs.captions),
        )
        command = ("evaluate", "memorization", sampled, "--data", coloured_photos, "--weights", tiny_model)
        score = json.loads(run(*command, "--json")[1])
        assert score["reconstructed"]["distances"] == score["test"]


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
