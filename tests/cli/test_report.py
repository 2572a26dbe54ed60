from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
MARKS = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("table2", "goals", "runs"))


def test_tables_are_written_once(run: Run, tmp_path: Path):
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(MARKS)
    results.mkdir()
    assert run("report", readme, "--results", results) == (0, f"{readme}: written\n", "")
    assert "0.992" in readme.read_text()
    assert run("report", readme, "--results", results) == (0, f"{readme}: up to date\n", "")


def test_a_readme_without_marks_is_refused_and_kept(run: Run, tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text("no marks")
    code, out, err = run("report", readme, "--results", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"mxqvae: error: {readme}: has no marks")
    assert readme.read_text() == "no marks"


def test_all_pages_with_marks_are_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("docs", "results"):
        Path(folder).mkdir()
    for page in ("README.md", "docs/table2.md", "results/README.md"):
        Path(page).write_text(MARKS)
    Path("docs/design.md").write_text("no marks")
    pages = ("README.md", "docs/table2.md", "results/README.md")
    assert run("report") == (0, "".join(f"{page}: written\n" for page in pages), "")


def test_a_folder_without_pages_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    assert run("report") == (2, "", f"mxqvae: error: {tmp_path}: no page with tables in it; name one\n")


def test_a_missing_readme_is_named(run: Run, tmp_path: Path):
    code, _, err = run("report", tmp_path / "nowhere.md", "--results", tmp_path)
    assert code == 2
    assert "nowhere.md" in err
    assert err.count("\n") == 1
