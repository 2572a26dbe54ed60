import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

Run = Callable[..., tuple[int, str, str]]
NOTE = (
    "mxqvae: note: these weights saw no false captions in training and may miss them; {}train weights with "
    "the recipe pairs-cpu-audit or photos-cpu-audit (docs/audit.md)\n"
)


def test_a_data_set(run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path):
    arguments = ("audit", caption_mnist_small, "--out", tmp_path / "out", "--weights", tiny_model)
    code, out, err = run(*arguments, "--split", "test", "--num-worst", 2)
    assert code == 0
    assert "60 of 60 pairs audited" in out
    assert "audit: 60 rows" in err
    assert pq.read_metadata(tmp_path / "out" / "scores.parquet").num_rows == 60
    code, out, err = run(*arguments, "--split", "test", "--num-worst", 2, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert (figures["summary"]["num_audited"], figures["num_new"]) == (60, 0)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "holds another audit: of other pairs" in err
    code, out, err = run(*arguments, "--split", "test", "--num-worst", 0, "--overwrite", "--json")
    assert (code, json.loads(out)["num_new"]) == (0, 0)
    code, out, err = run(*arguments, "--num-worst", 0, "--overwrite", "--json")
    assert (code, json.loads(out)["num_new"]) == (0, 360)


def test_a_sample_folder(run: Run, samples: Path, tiny_model: Path, tmp_path: Path):
    code, out, _ = run("audit", samples, "--out", tmp_path / "out", "--weights", tiny_model, "--num-worst", 0)
    assert code == 0
    assert "60 of 60 pairs audited" in out


@pytest.mark.parametrize(
    ("masking", "remedy"),
    [(None, ""), ({"random_word_share": 0}, "add --hide-words, or ")],
    ids=range(2),
)
def test_weights_that_saw_no_captions_that_lie_are_noted(
    run: Run, samples: Path, tiny_model: Path, tmp_path: Path, masking: dict[str, float] | None, remedy: str
):
    weights = tmp_path / "weights"
    shutil.copytree(tiny_model, weights)
    path = weights / "autoencoder" / "config.json"
    config = json.loads(path.read_text())
    assert config["masking"]["random_word_share"] > 0  # so no other test here has the note
    path.write_text(json.dumps(config | {"masking": masking and config["masking"] | masking}))
    arguments = ("--weights", weights, "--num-worst", 0, "--json")
    code, out, err = run("audit", samples, "--out", tmp_path / "out", *arguments)
    assert (code, err) == (0, NOTE.format(remedy))
    assert json.loads(out)["num_new"] == 60
    code, out, err = run("audit", samples, "--out", tmp_path / "hidden", *arguments, "--hide-words")
    if masking is None:
        assert (code, "no word hidden; leave --hide-words out" in err) == (2, True)
    else:
        assert (code, err) == (0, "")


def test_an_audit_with_words_hidden_is_another(run: Run, samples: Path, tiny_model: Path, tmp_path: Path):
    arguments = ("audit", samples, "--out", tmp_path / "out", "--weights", tiny_model, "--num-worst", 1)
    assert run(*arguments, "--hide-words")[0] == 0
    code, _, err = run(*arguments)
    assert (code, "with or without --hide-words" in err) == (2, True)


@pytest.mark.parametrize("missing", ["pairs", "weights"])
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path, missing: str
):
    places = {"pairs": caption_mnist_small, "weights": tiny_model} | {missing: tmp_path / "nowhere"}
    out = tmp_path / "out"
    code, printed, err = run("audit", places["pairs"], "--out", out, "--weights", places["weights"])
    assert (code, printed) == (2, "")
    assert "nowhere" in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_the_weights_are_not_written_over(run: Run, tiny_model: Path, caption_mnist_small: Path):
    arguments = ("--weights", tiny_model, "--out", tiny_model, "--overwrite")
    code, _, err = run("audit", caption_mnist_small, *arguments)
    assert (code, "which is to be read" in err) == (2, True)
    assert (tiny_model / "prior" / "config.json").is_file()


def test_numbers_out_of_range(run: Run, tmp_path: Path):
    code, _, err = run("audit", tmp_path, "--out", tmp_path / "out", "--num-worst", -1)
    assert (code, "--num-worst must be at least 0" in err) == (2, True)
