from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_the_plan_names_every_step_and_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("reproduce", "table2", "--rows", "mxqvae", "--dry-run")
    assert (code, err) == (0, "")
    steps = [line.split()[0] for line in out.splitlines()]
    assert steps == ["mxqvae:", "data", "judge", "autoencoder", "prior", "sampling", "scoring", "To"]
    assert "done" not in out
    assert list(tmp_path.iterdir()) == []


def test_the_plan_knows_what_is_done(run: Run, tmp_path: Path):
    (tmp_path / "data").mkdir()
    _, out, _ = run("reproduce", "table2", "--work", tmp_path, "--dry-run")
    assert [line.split()[0] for line in out.splitlines() if "done" in line] == ["data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "mxqvae", "i-and-t"), "unknown row 'i-and-t'; choose from mxqvae"),
        (("--rows",), "--rows needs at least one row"),
        (("--seed", -1), "--seed must be at least 0, got -1"),
    ],
)
def test_bad_input_is_named_and_nothing_is_run(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], message: str
):
    work = tmp_path / "work"
    code, out, err = run("reproduce", "table2", "--work", work, "--results", tmp_path / "results", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
