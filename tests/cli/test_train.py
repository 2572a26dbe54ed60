import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mxqvae import stages
from mxqvae.evaluation.judge import Judge
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.recipes import RECIPES, Recipe
from mxqvae.training import loop

Run = Callable[..., tuple[int, str, str]]
SHORT = ("--recipe", "short")
TWO_STEPS = ("--set", "num_steps=2", "--set", "batch_size=8")


def test_the_stages_leave_a_model_that_samples(tiny_model: Path):
    (pairs,) = PairGenerator.from_pretrained(tiny_model).sample(2)
    assert pairs.images.shape == (2, 64, 64, 3)
    for stage in ("autoencoder", "prior", "reader"):
        lines = (tiny_model / "runs" / stage / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2]


def test_a_finished_run_is_not_run_again(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path
):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    weights = (model / "autoencoder" / "model.safetensors").read_bytes()
    code, out, _ = run("train", "autoencoder", "--data", caption_mnist_small, "--out", model, *SHORT)
    assert code == 0
    finished, following = out.splitlines()
    assert finished.endswith(f": {model}")
    same = f"--data {caption_mnist_small} --out {model}"
    assert following.startswith(f"Next: mxqvae train prior {same}, or")
    assert (model / "autoencoder" / "model.safetensors").read_bytes() == weights


def test_a_stopped_run_says_so_and_goes_on(
    run: Run, caption_mnist_small: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command = ("train", "autoencoder", "--data", caption_mnist_small, "--out", tmp_path / "model", *SHORT)
    step = loop.training_step
    with monkeypatch.context() as patch:
        calls = []

        def stop_at_the_second(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return step(*arguments)

        patch.setattr(loop, "training_step", stop_at_the_second)
        code, out, err = run(*command)
    assert (code, out) == (130, "")
    assert "checkpoint.safetensors" in err
    assert err.endswith("mxqvae: stopped\n")

    code, _, _ = run(*command)
    assert code == 0
    weights = Path("autoencoder", "model.safetensors")
    assert (tmp_path / "model" / weights).read_bytes() == (tiny_model / weights).read_bytes()


def test_the_judge_is_trained_and_measured(run: Run, mnist_folder: Path, tmp_path: Path):
    out = tmp_path / "judge"
    code, printed, _ = run("train", "judge", "--mnist", mnist_folder, "--out", out, *TWO_STEPS)
    assert code == 0
    judge = Judge.from_pretrained(out)
    assert f"{judge.record.test_accuracy:.2%} of test digits right" in printed
    assert judge.record.config.training.num_steps == 2
    assert judge.read(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)) == [()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "flower"), "unknown recipe 'flower'; choose from caption-mnist-cpu"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
        (("--set", "num_steps"), "--set 'num_steps': write FIELD=VALUE"),
        (("--set", "num_stpes=3"), "--set num_stpes: no such field; choose from num_steps, batch_size"),
        (("--set", "num_steps=0"), "num_steps"),
        (("--set", "num_steps=many"), "num_steps"),
        (("--data", "nowhere"), "nowhere"),
    ],
)
@pytest.mark.parametrize("stage", ["autoencoder", "prior"])
def test_bad_input_is_named_and_nothing_is_written(
    run: Run,
    tiny_model: Path,
    caption_mnist_small: Path,
    tmp_path: Path,
    stage: str,
    arguments: tuple[object, ...],
    message: str,
):
    out = tmp_path / "model"
    if stage == "prior":
        shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("prior"))
    before = sorted(tmp_path.rglob("*"))
    data = ("--data", caption_mnist_small)
    code, printed, err = run("train", stage, *SHORT, *data, "--out", out, *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", ["autoencoder", "joint-gan", "contrastive", "judge"])
def test_a_seed_that_is_too_large_is_named(
    run: Run, mnist_folder: Path, caption_mnist_small: Path, tmp_path: Path, what: str
):
    source = ("--mnist", mnist_folder) if what == "judge" else ("--data", caption_mnist_small)
    code, _, err = run("train", what, *source, "--out", tmp_path / "model", "--seed", 2**32)
    assert (code, err) == (2, f"mxqvae: error: --seed must be at most {2**32 - 1}, got {2**32}\n")


@pytest.mark.parametrize("what", ["autoencoder", "judge"])
def test_a_folder_with_other_content_is_refused(
    run: Run, caption_mnist_small: Path, mnist_folder: Path, tmp_path: Path, what: str
):
    (tmp_path / "notes.txt").touch()
    source = ("--mnist", mnist_folder) if what == "judge" else ("--data", caption_mnist_small)
    code, _, err = run("train", what, *source, "--out", tmp_path)
    assert code == 2
    assert str(tmp_path) in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_prior_needs_a_trained_autoencoder(run: Run, caption_mnist_small: Path, tmp_path: Path):
    code, _, err = run("train", "prior", "--data", caption_mnist_small, "--out", tmp_path / "nowhere")
    assert code == 2
    assert "mxqvae train autoencoder" in err
    assert list(tmp_path.iterdir()) == []


class TestPairs:
    @pytest.fixture(autouse=True)
    def tiny(self, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
        """A recipe `tiny` for Caption MNIST, which one epoch bounds to two steps of the four."""
        training = dataclasses.replace(tiny_recipe.autoencoder_training, batch_size=150)
        bounded = {"autoencoder_training": training, "max_epochs": 1, "for_caption_mnist": True}
        monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(tiny_recipe, **bounded))

    def test_changes_are_for_every_part(self, run: Run, caption_mnist_small: Path, tmp_path: Path):
        command = ("train", "pairs", "--recipe", "tiny", "--data", caption_mnist_small, "--out", tmp_path)
        assert run(*command, "--set", "num_steps=1", "--set", "batch_size=6")[0] == 0
        logs = [tmp_path / "runs" / part / "log.jsonl" for part in ("autoencoder", "prior", "reader")]
        assert [json.loads(log.read_text().splitlines()[-1])["step"] for log in logs] == [1, 1, 1]
        code, _, err = run(*command, "--set", "num_steps=2", "--set", "batch_size=6")
        assert code == 2
        assert "belongs to a run with other settings" in err

    def test_all_parts_are_trained_and_done_ones_left_alone(
        self, run: Run, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        command = ("train", "pairs", "--recipe", "tiny", "--data", caption_mnist_small, "--out", tmp_path)
        step, steps = loop.training_step, []

        def stop_in_the_prior(*arguments):
            steps.append(arguments)
            if len(steps) == 4:
                raise KeyboardInterrupt
            return step(*arguments)

        monkeypatch.setattr(loop, "training_step", stop_in_the_prior)
        code, out, _ = run(*command)
        assert code == 130
        assert [line.partition(",")[0] for line in out.splitlines()] == ["autoencoder"]
        code, out, _ = run(*command)
        assert code == 0
        *parts, following = out.splitlines()
        assert [line.partition(",")[0] for line in parts] == ["autoencoder", "prior", "reader"]
        assert following == f"Next: mxqvae sample --weights {tmp_path} --out SAMPLES"
        # Two steps of stage 1, four of the prior and of the reader; the stopped one is not done.
        assert len(steps) == 2 + 4 + 4 + 1
        weights = {path: path.read_bytes() for path in tmp_path.glob("*/model.safetensors")}
        assert len(weights) == 3
        assert run(*command)[0] == 0
        assert len(steps) == 11
        assert {path: path.read_bytes() for path in weights} == weights
        (pairs,) = PairGenerator.from_pretrained(tmp_path).sample(2)
        assert len(pairs.captions) == 2

    def test_a_number_of_steps_that_was_asked_for_is_taken(
        self, run: Run, caption_mnist_small: Path, tmp_path: Path
    ):
        command = ("train", "autoencoder", "--recipe", "tiny", "--data", caption_mnist_small, "--out")
        for out, changes, num_steps in (("a", (), 2), ("b", ("--set", "num_steps=3"), 3)):
            code, _, err = run(*command, tmp_path / out, *changes)
            assert code == 0
            assert ("2 steps in place of 4" in err) == (not changes)
            log = (tmp_path / out / "runs" / "autoencoder" / "log.jsonl").read_text().splitlines()
            assert json.loads(log[-1])["step"] == num_steps

    @pytest.mark.parametrize("stage", ["prior", "reader"])
    def test_so_it_is_where_pairs_are_held_out(
        self,
        run: Run,
        caption_mnist_small: Path,
        tiny_model: Path,
        monkeypatch: pytest.MonkeyPatch,
        stage: str,
    ):
        asked: list[Recipe] = []
        monkeypatch.setattr(
            stages, f"train_{stage}", lambda recipe, *arguments, **options: asked.append(recipe) or 0.0
        )
        monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(RECIPES["tiny"], max_epochs_of_codes=1))
        for changes in ((), ("--set", "num_steps=3")):
            command = ("--recipe", "tiny", "--data", caption_mnist_small, "--out", tiny_model, *changes)
            assert run("train", stage, *command)[0] == 0
        assert [(recipe.max_epochs, recipe.max_epochs_of_codes) for recipe in asked] == [(1, 1), (None, None)]

    def test_a_batch_that_two_processes_cannot_share_equally_is_refused(
        self, run: Run, caption_mnist_small: Path, tmp_path: Path
    ):
        command = ("--recipe", "caption-mnist-cpu", "--data", caption_mnist_small, "--out", tmp_path / "out")
        for size in (1, 3):
            code, _, err = run("train", "autoencoder", *command, "--set", f"batch_size={size}")
            assert code == 2
            assert f"batch_size {size} does not divide among 2 processes; give a multiple of 2\n" in err
            assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["pairs", "autoencoder", "prior", "reader", "joint-gan"])
def test_the_recipe_follows_the_data(
    run: Run, caption_mnist_small: Path, coloured_photos: Path, tmp_path: Path, stage: str
):
    (tmp_path / "notes.txt").touch()  # so that nothing is trained
    for data, fitting, other in (
        (caption_mnist_small, "caption-mnist-cpu", "pairs-cpu"),
        (coloured_photos, "pairs-cpu", "caption-mnist-cpu"),
    ):
        command = ("train", stage, "--data", data, "--out", tmp_path)
        code, _, err = run(*command)
        assert code == 2
        assert err.startswith(f"recipe {fitting}, the default for this data set; --recipe takes another\n")
        code, _, err = run(*command, "--recipe", other)
        assert code == 2
        assert err.startswith(f"mxqvae: error: recipe '{other}' is for ")
        assert err.count("\n") == 1


def test_the_other_parts_follow_the_recipe_of_stage_1(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path
):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    command = ("--data", caption_mnist_small, "--out", model)
    code, _, _ = run("train", "autoencoder", *command, *SHORT)
    assert (code, json.loads((model / "recipe.json").read_text())) == (0, {"recipe": "short"})
    for part in ("prior", "reader", "pairs"):  # all are trained by `short`, and so stay as they are
        code, _, err = run("train", part, *command)
        assert code == 0
        assert f"recipe short, by which stage 1 in {model} was trained; --recipe takes another\n" in err

    (model / "recipe.json").write_text('{"recipe": "lost"}')
    code, _, err = run("train", "prior", *command)
    assert code == 2
    assert err.startswith(f"mxqvae: error: {model / 'recipe.json'}: unknown recipe 'lost'; choose from ")
    assert err.endswith(", by --recipe, or another --out\n")
    (model / "recipe.json").write_text("{")
    code, _, err = run("train", "prior", *command)
    assert code == 2
    assert err.startswith(f"mxqvae: error: {model / 'recipe.json'}: ")


def test_a_recipe_without_a_reader_says_so(run: Run, caption_mnist_small: Path, tiny_model: Path):
    command = ("train", "reader", "--recipe", "caption-mnist-cpu-i-t", "--data", caption_mnist_small)
    code, printed, err = run(*command, "--out", tiny_model)
    assert (code, printed) == (2, "")
    remedy = "give --recipe caption-mnist-cpu, pairs-cpu or photos-cpu"
    assert err == f"mxqvae: error: this recipe has no reader; {remedy}\n"


def test_a_checkpoint_of_another_run_is_refused_and_kept(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path
):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    checkpoint = (model / "runs" / "autoencoder" / "checkpoint.safetensors").read_bytes()
    command = ("train", "autoencoder", *SHORT, "--data", caption_mnist_small, "--out", model)
    code, _, err = run(*command, "--set", "num_steps=3")
    assert code == 2
    assert "belongs to a run with other settings" in err
    assert (model / "runs" / "autoencoder" / "checkpoint.safetensors").read_bytes() == checkpoint


def test_the_recipes_are_listed(run: Run):
    code, out, err = run("train", "recipes")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(line.endswith(RECIPES[line.split()[0]].description) for line in lines)
