from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.data.pairs import PairDataset

Run = Callable[..., tuple[int, str, str]]


def test_it_says_how_many_lie(run: Run, caption_mnist_small: Path, tmp_path: Path):
    out = tmp_path / "out"
    code, printed, err = run("data", "corrupt", caption_mnist_small, "--share", 0.1, "--out", out)
    assert (code, printed, err) == (0, f"30 of 300 training captions lie: {out}\n", "")
    assert len(PairDataset.from_parquet(out, "train")) == 300
    code, _, err = run("data", "corrupt", caption_mnist_small, "--share", 0.1, "--out", out)
    assert (code, "is not empty" in err) == (2, True)
    assert run("data", "corrupt", caption_mnist_small, "--share", 0, "--out", out, "--overwrite")[0] == 0
    code, _, err = run("data", "corrupt", out, "--share", 0.1, "--out", tmp_path / "twice")
    assert (code, "its captions lie already" in err, err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("share", 1.5, "--share must be from 0 to 1, got 1.5"),
        ("seed", -1, "--seed must be at least 0, got -1"),
    ],
)
def test_numbers_out_of_range(run: Run, tmp_path: Path, flag: str, value: float, message: str):
    values = {"share": 0.5, "out": tmp_path / "out"} | {flag: value}
    flags = [item for name, given in values.items() for item in (f"--{name}", given)]
    code, _, err = run("data", "corrupt", tmp_path, *flags)
    assert (code, message in err) == (2, True)
    assert not (tmp_path / "out").exists()
