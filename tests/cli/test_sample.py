import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mxqvae.cli.sample import sample
from mxqvae.config import to_tree
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator
from mxqvae.generation.sample_folder import read_sample_folder
from mxqvae.prior.sampling import SamplingConfig

Run = Callable[..., tuple[int, str, str]]


def test_pairs_are_those_of_the_model(run: Run, tiny_model: Path, tmp_path: Path):
    out = tmp_path / "samples"
    code, printed, _ = run("sample", "--weights", tiny_model, "--num", 3, "--seed", 5, "--out", out)
    assert code == 0
    assert printed.startswith("3 pairs of seed 5 in ")
    assert str(out / "contact_sheet.png") in printed
    images, captions = read_sample_folder(out)
    (pairs,) = PairGenerator.from_pretrained(tiny_model).sample(3, seed=5)
    np.testing.assert_array_equal(images, pairs.images)
    assert captions == pairs.captions


def test_processes_make_no_difference(run: Run, tiny_model: Path, tmp_path: Path):
    command = ("sample", "--weights", tiny_model, "--num", 70, "--temperature", 0.5)
    assert run(*command, "--out", tmp_path / "alone")[0] == 0
    code, _, err = run(*command, "--out", tmp_path / "together", "--processes", 2)
    assert code == 0
    assert "sample: 70 pairs in " in err
    alone, together = (read_sample_folder(tmp_path / name) for name in ("alone", "together"))
    np.testing.assert_array_equal(alone.images, together.images)
    assert alone.captions == together.captions


def test_first_and_the_filters_reach_the_sampler(run: Run, tiny_model: Path, tmp_path: Path):
    out = tmp_path / "samples"
    filters = ("--temperature", 0.5, "--top-k", 3, "--top-p", 0.9)
    arguments = (*filters, "--max-word-bits", "inf", "--max-caption-code-bits", 15, "--json")
    code, printed, _ = run(
        "sample", "--weights", tiny_model, "--num", 2, "--first", 70, "--out", out, *arguments
    )
    assert code == 0
    assert json.loads(printed)["max_word_bits"] is None
    sampling = SamplingConfig(temperature=0.5, top_k=3, top_p=0.9)
    generator = PairGenerator.from_pretrained(tiny_model)
    generation = replace(
        generator.generation, sampling=sampling, max_word_bits=None, max_caption_code_bits=15.0
    )
    (pairs,) = generator.sample(2, first=70, generation=generation)
    assert (out / "00070.png").exists()
    np.testing.assert_array_equal(read_sample_folder(out).images, pairs.images)


def test_json_is_all_that_is_printed(run: Run, tiny_model: Path, tmp_path: Path):
    out = tmp_path / "samples"
    code, printed, err = run("sample", "--weights", tiny_model, "--num", 2, "--out", out, "--json")
    assert (code, err) == (0, "")
    summary = json.loads(printed)
    seconds, rate = summary.pop("seconds"), summary.pop("pairs_per_second")
    assert seconds > 0
    assert rate > 0
    assert summary == {
        "num": 2,
        "seed": 0,
        "first": 0,
        "temperature": 1.0,
        "top_k": None,
        "top_p": 0.99,
        "num_refinements": 2,
        "max_word_bits": 20.0,
        "max_caption_code_bits": 20.0,
        "weights": str(tiny_model),
        "out": str(out),
    }


def test_overwrite_replaces_the_folder(run: Run, tiny_model: Path, tmp_path: Path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "00009.png").touch()
    command = ("sample", "--weights", tiny_model, "--num", 1, "--out", tmp_path / "samples")
    code, _, err = run(*command)
    assert code == 2
    assert "--overwrite" in err
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["00009.png"]
    assert run(*command, "--overwrite")[0] == 0
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["00000.png", "contact_sheet.png", "metadata.jsonl"]


def test_the_defaults_are_those_of_the_library():
    defaults = {name: parameter.default for name, parameter in inspect.signature(sample).parameters.items()}
    assert all(defaults[name] is None for name in to_tree(SamplingConfig()))
    own = to_tree(GenerationConfig())
    assert all(defaults[name] is None for name in own if name != "sampling")
    assert inspect.signature(PairGenerator.sample).parameters["generation"].default is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--num", 0), "--num must be at least 1, got 0"),
        (("--num", -3), "--num must be at least 1, got -3"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
        (("--seed", 2**64), "seed"),
        (("--first", -1), "--first must be at least 0, got -1"),
        (("--num-refinements", -1), "--num-refinements must be at least 0, got -1"),
        (("--max-word-bits", 0), "--max-word-bits must be above 0, got 0.0"),
        (("--max-word-bits", "nan"), "--max-word-bits must be above 0, got nan"),
        (("--max-caption-code-bits", 0), "--max-caption-code-bits must be above 0, got 0.0"),
        (("--top-k", 0), "--top-k must be at least 1, got 0"),
        (("--top-k", 100_000), "top_k must be at most"),
        (("--top-p", 0), "--top-p must be above 0 and at most 1, got 0.0"),
        (("--top-p", 1.5), "--top-p must be above 0 and at most 1, got 1.5"),
        (("--temperature", 0), "--temperature must be above 0, got 0.0"),
        (("--temperature", "nan"), "--temperature must be above 0, got nan"),
        (("--temperature", "inf"), "--temperature must be above 0, got inf"),
        (("--num", "many"), "--num: takes a whole number, not 'many'"),
        (("--numb", 3), "--numb"),
        (("--weights", "./no/such/folder"), "./no/such/folder"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, tiny_model: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
):
    code, printed, err = run("sample", "--weights", tiny_model, "--out", tmp_path / "out", *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.startswith("mxqvae: error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "part",
    ["tokenizer.json", "autoencoder/config.json", "autoencoder/model.safetensors", "prior/model.safetensors"],
)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_weights_are_named(run: Run, tiny_model: Path, tmp_path: Path, part: str, damage: str):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    content = (model / part).read_bytes()
    (model / part).unlink()
    if damage == "cut":
        (model / part).write_bytes(content[: len(content) // 2])
    code, _, err = run("sample", "--weights", model, "--out", tmp_path / "out")
    assert code == 2
    assert str(model / part) in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_baseline_without_codes_is_sampled_too(run: Run, caption_mnist_small: Path, tmp_path: Path):
    model, out = tmp_path / "model", tmp_path / "samples"
    few = [word for change in ("num_steps=2", "batch_size=4", "bf16=false") for word in ("--set", change)]
    code, printed, _ = run("train", "joint-gan", "--data", caption_mnist_small, "--out", model, *few)
    assert (code, printed.startswith("Joint GAN + MMVAE, trained in ")) == (0, True)
    code, _, err = run("sample", "--weights", model, "--num", 2, "--out", out, "--top-k", 3)
    assert (code, out.exists()) == (2, False)
    assert run("sample", "--weights", model, "--num", 2, "--out", out, "--processes", 2)[0] == 2
    assert f"--top-k: {model} is a Joint GAN + MMVAE, which has no use for it; leave it out" in err
    code, printed, _ = run("sample", "--weights", model, "--num", 2, "--out", out, "--json")
    assert code == 0
    assert "top_k" not in json.loads(printed)
    assert len(read_sample_folder(out).captions) == 2


def test_the_weights_are_not_written_over(run: Run, tiny_model: Path):
    for out in (tiny_model, tiny_model.parent):
        code, _, err = run("sample", "--weights", tiny_model, "--out", out, "--overwrite")
        assert (code, "which is to be read" in err) == (2, True)
    assert (tiny_model / "prior" / "config.json").is_file()
