import json
from pathlib import Path

import pytest

from mxqvae.cli.figures import give_out, new_table, print_with

FIGURES = {"rate": 0.5, "none": None}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "score.json"


def print_table() -> None:
    print("a table")


def test_people_get_the_table_and_the_file_the_json(out: Path, capsys: pytest.CaptureFixture[str]):
    give_out(FIGURES, print_table, out=out, json=False)
    assert capsys.readouterr().out == "a table\n"
    assert json.loads(out.read_text()) == FIGURES


def test_machines_get_the_json(out: Path, capsys: pytest.CaptureFixture[str]):
    give_out(FIGURES, print_table, out=None, json=True)
    assert json.loads(capsys.readouterr().out) == FIGURES
    assert not out.exists()


def test_what_json_cannot_say_is_refused_and_not_written(out: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        give_out({"rate": float("nan")}, print_table, out=out, json=True)
    assert not out.exists()


def test_remarks_stand_under_the_table(capsys: pytest.CaptureFixture[str]):
    table = new_table("Title", "Name", "Figure")
    table.add_row("one", "[0, 1]")
    print_with(table, ["a remark"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert (lines[0], lines[-1]) == ("Title", "a remark")
    assert lines[-2].split("  ")[0] == "one"
