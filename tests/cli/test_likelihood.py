import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.evaluation.likelihood import score_likelihood
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import Recipe

Run = Callable[..., tuple[int, str, str]]


def test_json_and_file_hold_the_whole_score(
    run: Run, tiny_model: Path, test_pairs: PairDataset, caption_mnist_small: Path, tmp_path: Path
):
    out, table, sheet = tmp_path / "score.json", tmp_path / "bits.parquet", tmp_path / "bits.png"
    code, printed, err = run(
        *("evaluate", "likelihood", "--data", caption_mnist_small, "--weights", tiny_model),
        *("--table", table, "--sheet", sheet, "--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    measured = PairGenerator.from_pretrained(tiny_model).likelihood(
        test_pairs.images.numpy(), test_pairs.captions
    )
    score = score_likelihood(measured, slice(0, 64))
    assert json.loads(printed) == json.loads(out.read_text()) == dataclasses.asdict(score)
    assert (score.num_pairs, score.image_codes.num_codes, score.text_codes.num_codes) == (60, 64, 8)
    rows = pq.read_table(table).to_pylist()
    assert [row["caption"] for row in rows] == test_pairs.captions
    assert rows[7]["word_bits"] == float(measured.word_bits[7].sum())
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"


def test_halves_encoded_apart_have_no_bits_of_words(
    run: Run, tiny_recipe_of: Callable[[str], Recipe], caption_mnist_small: Path, tmp_path: Path
):
    recipe = tiny_recipe_of("caption-mnist-cpu-i-t")
    pairs = PairDataset.from_parquet(caption_mnist_small, "train")
    tokenizer = CaptionTokenizer.train(pairs.captions, max_length=40)
    config = recipe.autoencoder(pairs.shape(tokenizer))
    apart = PairGenerator(tokenizer, build_autoencoder(config), Prior(recipe.prior(config)))
    apart.save_pretrained(tmp_path / "apart")
    command = ("evaluate", "likelihood", "--data", caption_mnist_small, "--weights", tmp_path / "apart")
    code, printed, _ = run(*command, "--json")
    assert code == 0
    assert json.loads(printed)["words"] is None
    code, printed, _ = run(*command, "--split", "train")
    assert code == 0
    assert "Bits of 300 train pairs" in printed
    assert "Words" not in printed
    for option in (("--table", tmp_path / "bits.parquet"), ("--sheet", tmp_path / "bits.png")):
        code, _, err = run(*command, *option)
        assert code == 2
        assert "--table and --sheet need a joint autoencoder" in err
    assert run(*command, "--table", tmp_path / "bits.csv")[2].startswith(
        "mxqvae: error: --table writes a parquet file"
    )


def test_the_shipped_model_knows_more_than_nothing(run: Run, caption_mnist_small: Path):
    code, out, err = run("evaluate", "likelihood", "--data", caption_mnist_small)
    assert code == 0
    assert "Bits of 60 test pairs" in out
    assert "Words, given all codes" in out
    assert "likelihood: 60 pairs" in err
    name, num_codes, bits, _, per_code = next(line.split() for line in out.splitlines() if " All " in line)
    assert (name, num_codes) == ("All", "72")
    assert float(bits) == pytest.approx(72 * float(per_code), rel=1e-2)
    assert float(per_code) < 9  # of 512 codes


@pytest.mark.parametrize("missing", ["data", "weights"])
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path, missing: str
):
    places = {"data": caption_mnist_small, "weights": tiny_model} | {missing: tmp_path / "nowhere"}
    out = tmp_path / "score.json"
    code, printed, err = run(
        "evaluate", "likelihood", "--data", places["data"], "--weights", places["weights"], "--out", out
    )
    assert (code, printed) == (2, "")
    assert "nowhere" in err
    assert err.count("\n") == 1
    assert not out.exists()
