import dataclasses
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from mxqvae.data.caption_grammar import KINDS
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.report import FOOTNOTE, FOOTNOTE_ROW, POSTER_TABLE_2, fill_blocks, render_blocks, update_readme
from mxqvae.results import Result, write_result

REPOSITORY = Path(__file__).parents[1]
MARKS = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("table2", "goals", "runs"))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(block: str) -> list[list[str]]:
    return [cells(line) for line in block.splitlines() if line.startswith("|")][2:]


def row(block: str, *labels: str) -> list[str]:
    (found,) = [row[len(labels) :] for row in rows(block) if tuple(row[: len(labels)]) == labels]
    return found


@pytest.mark.parametrize("label", POSTER_TABLE_2)
def test_the_posters_averages_follow_from_its_cells_but_for_the_footnote(label: str):
    *by_kind, average = POSTER_TABLE_2[label]
    assert len(by_kind) == len(KINDS)
    if label == FOOTNOTE_ROW:
        assert f"{fmean(by_kind):.3f}" in FOOTNOTE
        assert f"{fmean(by_kind):.3f}" != f"{average:.3f}"
    else:
        assert fmean(by_kind) == pytest.approx(average, abs=0.0005)


def test_ours_stands_below_the_poster_with_the_difference(table2_result: Result):
    block = render_blocks([table2_result])["table2"]
    assert row(block, "**MXQ-VAE**", "poster") == ["0.998", "0.997", "0.994", "0.996", "0.974", "0.992"]
    assert row(block, "", "**ours**") == [
        "**1.000**",
        "**1.000**",
        "**1.000**",
        "**1.000**",
        "**0.900**",
        "**0.980**",
    ]
    assert row(block, "", "difference") == [
        "+0.002",
        "+0.003",
        "+0.006",
        "+0.004",
        "−0.074 miss",
        "−0.012 miss",
    ]
    assert row(block, "", "ours, slot by slot")[-2:] == ["0.975", "0.995"]
    assert row(block, "Real test pairs", "ceiling") == ["1.000"] * 6
    assert row(block, "Test pairs, captions shuffled", "floor") == ["0.000"] * 6
    assert row(block, r"I\_T\_Emb", "poster")[-1] == "0.945 ¹"


def test_a_kind_that_was_never_sampled_is_a_miss(
    table2_result: Result, score_of: Callable[..., ConsistencyScore]
):
    figures = dataclasses.replace(table2_result.figures, samples=score_of(Single=1.0))
    blocks = render_blocks([dataclasses.replace(table2_result, figures=figures)])
    assert row(blocks["table2"], "", "**ours**") == ["**1.000**", *["**–**"] * 5]
    assert row(blocks["table2"], "", "difference") == ["+0.002", *["miss"] * 5]
    assert row(blocks["goals"], "Consistent pairs, Quad4")[-2:] == ["–", "**miss**"]


def test_goals_show_hits_and_misses(table2_result: Result):
    block = render_blocks([table2_result])["goals"]
    assert [goal[-1] for goal in rows(block)] == ["**miss**", "**miss**", "hit", "hit", "hit", "hit"]
    assert row(block, "Judge on real test digits")[1:3] == ["≥ 99.5%", "99.61%"]
    assert row(block, "Training of both stages, on two cores")[2] == "2.5 h"


def test_runs_tell_how_to_run_a_row_again(table2_result: Result):
    (cells,) = rows(render_blocks([table2_result])["runs"])
    assert cells == [
        "**MXQ-VAE**",
        "`table2-mxqvae`",
        "7",
        "100",
        "1 h 30 min",
        "1 h 00 min",
        "1 min 40 s",
        "2 min 05 s",
        "2 cores of a test, torch 2.13.0",
        "`0123456789`",
        "2026-11-24",
    ]


def test_rows_judged_alike_share_ceiling_and_floor(table2_result: Result):
    other = dataclasses.replace(table2_result, name="table2-it", row="I&T")
    block = render_blocks([table2_result, other])["table2"]
    assert sum(line[1] == "**ours**" for line in rows(block)) == 2
    assert sum(line[1] == "ceiling" for line in rows(block)) == 1


def test_every_line_of_a_table_has_as_many_cells_as_its_header(table2_result: Result):
    for block in render_blocks([table2_result]).values():
        widths = {len(cells(line)) for line in block.splitlines() if line.startswith("|")}
        assert len(widths) == 1


def test_an_unknown_row_is_refused(table2_result: Result):
    with pytest.raises(MxqvaeError, match="Table 2 has no row 'MXQVAE'; choose from I&T"):
        render_blocks([dataclasses.replace(table2_result, row="MXQVAE")])


def test_without_results_the_poster_stands_alone():
    blocks = render_blocks([])
    assert {line[1] for line in rows(blocks["table2"])} == {"poster"}
    assert blocks["goals"] == blocks["runs"] == "The row MXQ-VAE has not been run yet."


def test_only_what_stands_between_the_marks_changes(table2_result: Result, tmp_path: Path):
    write_result(table2_result, tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS}after\n")
    assert update_readme(readme, tmp_path / "results")
    text = readme.read_text()
    assert text.startswith("before\n<!-- table2:begin -->\n| Model |")
    assert text.endswith("<!-- runs:end -->\nafter\n")
    assert not update_readme(readme, tmp_path / "results")
    assert readme.read_text() == text


@pytest.mark.parametrize("text", ["", MARKS.replace("<!-- goals:end -->", ""), MARKS + MARKS])
def test_missing_and_repeated_marks_are_refused(text: str):
    with pytest.raises(MxqvaeError, match=r"README: needs the marks <!-- \w+:begin -->"):
        fill_blocks(text, render_blocks([]), "README")


def test_a_missing_readme_is_named(tmp_path: Path):
    (tmp_path / "results").mkdir()
    with pytest.raises(MxqvaeError, match=r"nowhere\.md: not a readable text file"):
        update_readme(tmp_path / "nowhere.md", tmp_path / "results")
