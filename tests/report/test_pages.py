import dataclasses
from pathlib import Path

import pytest

from mxqvae.errors import MxqvaeError
from mxqvae.report.pages import fill_blocks, render_blocks, update_page
from mxqvae.report.runs import render_runs
from mxqvae.results import Table1Result, Table2Result

MARKS = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("table2", "goals", "runs"))


def test_an_unknown_row_is_refused(table1_result: Table1Result, table2_result: Table2Result):
    with pytest.raises(MxqvaeError, match="table2 has no row 'MXQVAE'; choose from I&T"):
        render_blocks([dataclasses.replace(table2_result, row="MXQVAE")])
    with pytest.raises(MxqvaeError, match="table1 has no row 'I&T'; choose from Only Sharing C"):
        render_blocks([dataclasses.replace(table1_result, row="I&T")])


def test_photos_and_rows_of_ours_alone_stand_in_blocks_of_their_own(table1_result: Table1Result):
    alone = render_blocks([table1_result])
    photos = dataclasses.replace(table1_result, data_set="photos")
    with_photos = render_blocks([photos, table1_result])
    assert {name for name in alone if alone[name] != with_photos[name]} == {
        "table1-photos",
        "runs",
        "runs-caption-mnist-cpu",
    }
    extra = dataclasses.replace(table1_result, row="MXQ-VAE, masks only")
    with_extra = render_blocks([extra, table1_result])
    assert {name for name in alone if alone[name] != with_extra[name]} == {
        "table1",
        "table1-summary",
        "table1-kinds",
        "runs",
        "runs-caption-mnist-cpu",
    }


def test_a_card_has_the_runs_of_its_own_recipe(table1_result: Table1Result, table2_result: Table2Result):
    other = dataclasses.replace(table1_result, recipe="caption-mnist-cpu-without-tc")
    blocks = render_blocks([table2_result, other])
    assert blocks["runs-caption-mnist-cpu"] == render_runs([table2_result])
    assert blocks["runs"] == render_runs([table2_result, other])


def test_only_what_stands_between_the_marks_changes(table2_result: Table2Result, tmp_path: Path):
    blocks = render_blocks([table2_result])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS}after\n")
    assert update_page(readme, blocks)
    text = readme.read_text()
    assert text.startswith("before\n<!-- table2:begin -->\n| Model |")
    assert text.endswith("<!-- runs:end -->\nafter\n")
    assert not update_page(readme, blocks)
    assert readme.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        MARKS.replace("<!-- goals:end -->", ""),
        MARKS + MARKS,
        MARKS + "<!-- runs:end -->",
        "<!-- runs:end --><!-- runs:begin -->",
    ],
)
def test_missing_and_repeated_marks_are_refused(text: str):
    with pytest.raises(MxqvaeError, match=r"README: needs the marks <!-- \w+:begin -->"):
        fill_blocks(text, render_blocks([]), "README")


def test_a_text_without_marks_is_refused():
    with pytest.raises(MxqvaeError, match="README: has no marks"):
        fill_blocks("", render_blocks([]), "README")


def test_a_missing_readme_is_named(tmp_path: Path):
    with pytest.raises(MxqvaeError, match=r"nowhere\.md: not a readable text file"):
        update_page(tmp_path / "nowhere.md", {})
