import json
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., tuple[int, str, str]]


def test_table_and_file_tell_the_same(run: Run, tiny_model: Path, degree_sets_small: Path, tmp_path: Path):
    out = tmp_path / "words.json"
    command = ("evaluate", "hidden-words", "--data", degree_sets_small, "--weights", tiny_model)
    command = (*command, "--num", 2, "--set", "num_captions=2", "--set", "num_rounds=1")
    code, printed, err = run(*command, "--out", out)
    assert code == 0
    assert "complete: 8 answers in " in err
    kinds = json.loads(out.read_text())["kinds"]
    assert list(kinds) == ["Quad1", "Quad2", "Quad3", "Quad4"]
    row = next(line.split() for line in printed.splitlines() if "Quad4" in line)
    assert row[1:3] == ["2", f"{kinds['Quad4']['completed']['rate']:.3f}"]
    assert row[-1] == f"{kinds['Quad4']['commonest']:.3f}"
    code, printed, err = run(*command, "--json")
    assert (code, json.loads(printed), err) == (0, json.loads(out.read_text()), "")


def test_bad_input_is_named(run: Run, tiny_model: Path, caption_mnist_small: Path):
    command = ("evaluate", "hidden-words", "--data", caption_mnist_small, "--weights", tiny_model)
    for arguments, message in (
        (("--num", 0), "--num must be at least 1, got 0"),
        ((), "no Degree sets in it"),
        (("--set", "candidates=3"), "--set candidates: no such field"),
    ):
        code, printed, err = run(*command, *arguments)
        assert (code, printed, err.count("\n")) == (2, "", 1)
        assert message in err
