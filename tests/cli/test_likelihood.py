import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation.likelihood import measure_likelihood
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.stages import encode_pairs

Run = Callable[..., tuple[int, str, str]]


def test_json_and_file_hold_the_whole_score(
    run: Run, tiny_model: Path, test_pairs: PairDataset, caption_mnist_small: Path, tmp_path: Path
):
    out = tmp_path / "score.json"
    code, printed, err = run(
        *("evaluate", "likelihood", "--data", caption_mnist_small, "--weights", tiny_model),
        *("--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    generator = PairGenerator.from_pretrained(tiny_model)
    indices = encode_pairs(generator.autoencoder, generator.tokenizer, test_pairs)
    score = measure_likelihood(generator.prior, indices, slice(0, 64))
    assert json.loads(printed) == json.loads(out.read_text()) == dataclasses.asdict(score)
    assert (score.num_pairs, score.image_codes.num_codes, score.text_codes.num_codes) == (60, 64, 8)


def test_the_shipped_model_knows_more_than_nothing(run: Run, caption_mnist_small: Path):
    code, out, err = run("evaluate", "likelihood", "--data", caption_mnist_small)
    assert code == 0
    assert "60 test pairs" in out
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
