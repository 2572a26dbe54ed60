import dataclasses
import json
import re
from pathlib import Path

import pytest

from mxqvae.errors import MxqvaeError
from mxqvae.results import (
    ReconstructionResult,
    Table1Result,
    Table2Result,
    read_result,
    read_results,
    write_result,
)


def test_a_result_is_read_as_it_was_written(table2_result: Table2Result, tmp_path: Path):
    path = write_result(table2_result, tmp_path / "results")
    assert path == tmp_path / "results" / "table2-mxqvae-seed7.json"
    assert read_result(path) == table2_result
    assert read_results(path.parent) == [table2_result]


def test_each_table_has_its_own_figures(
    table1_result: Table1Result, table2_result: Table2Result, tmp_path: Path
):
    for result in (table1_result, table2_result):
        assert read_result(write_result(result, tmp_path)) == result
    assert read_results(tmp_path) == [table1_result, table2_result]


def test_recipes_of_a_set_stand_side_by_side(reconstruction_result: ReconstructionResult, tmp_path: Path):
    other = dataclasses.replace(
        reconstruction_result,
        name="reconstruction-things-photos-cpu-perceptual-seed7",
        recipe="photos-cpu-perceptual",
        perceptual_weight=0.2,
    )
    for result in (reconstruction_result, other):
        write_result(result, tmp_path)
    assert read_results(tmp_path) == [other, reconstruction_result]


def test_seeds_stand_side_by_side(table2_result: Table2Result, tmp_path: Path):
    other = dataclasses.replace(table2_result, name="table2-mxqvae-seed8", seed=8)
    for result in (table2_result, other):
        write_result(result, tmp_path)
    assert read_results(tmp_path) == [table2_result, other]


def test_a_result_of_table_1_without_a_data_set_is_of_caption_mnist(
    table1_result: Table1Result, tmp_path: Path
):
    path = write_result(table1_result, tmp_path)
    tree = json.loads(path.read_text())
    assert tree.pop("data_set") == "Caption MNIST"
    path.write_text(json.dumps(tree))
    assert read_result(path) == table1_result
    photos = dataclasses.replace(table1_result, name="table1-photos", data_set="photos")
    write_result(photos, tmp_path)
    assert read_results(tmp_path) == [table1_result, photos]


def test_memorization_of_earlier_versions_is_that_of_all_kinds(table2_result: Table2Result, tmp_path: Path):
    path = write_result(table2_result, tmp_path)
    tree = json.loads(path.read_text())
    for name in ("nearer_than_p05_of_kind", "nearer_than_median_of_kind"):
        assert tree["figures"]["memorization"].pop(name) is None
    path.write_text(json.dumps(tree))
    assert read_result(path) == table2_result


def test_a_result_replaces_an_older_one(table2_result: Table2Result, tmp_path: Path):
    write_result(table2_result, tmp_path)
    newer = dataclasses.replace(table2_result, seed=8)
    assert read_result(write_result(newer, tmp_path)).seed == 8
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("seed", "7", "'seed': Input should be a valid integer"),
        ("seed", None, "key 'seed' is missing"),
        ("colour", "red", "unknown key 'colour'"),
        ("table", "table9", "unknown 'table' 'table9'; choose from table1, table2"),
        ("date", "yesterday", "'date'"),
        ("name", "table2-other", "rename the file to table2-other.json"),
        ("cost.prior", -1.0, "prior must take a time from 0 seconds up, got -1.0"),
        ("figures.judge_accuracy", 99.5, "judge_accuracy must be a share from 0 to 1, got 99.5"),
        ("figures.restored_captions", 99.5, "restored_captions must be a share from 0 to 1, got 99.5"),
        ("figures.judge_accuracy", float("nan"), "'figures.judge_accuracy': Input should be a finite number"),
        ("figures.samples.consistent.rate", 1.2, "samples.consistent.rate must be a share from 0 to 1"),
        ("figures.samples.num_pairs", 0.5, "'figures.samples.num_pairs': Input should be a valid integer"),
        ("figures.floor.kinds", None, "key 'figures.floor.kinds' is missing"),
        ("figures.floor.colour", 1, "unknown key 'figures.floor.colour'"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    table2_result: Table2Result, tmp_path: Path, key: str, value: object, complaint: str
):
    path = write_result(table2_result, tmp_path)
    tree = json.loads(path.read_text())
    *parents, leaf = key.split(".")
    branch = tree
    for parent in parents:
        branch = branch[parent]
    if value is None:
        del branch[leaf]
    else:
        branch[leaf] = value
    path.write_text(json.dumps(tree))
    with pytest.raises(MxqvaeError, match=re.escape(complaint)) as error:
        read_result(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": "x"} trailing'])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "table2-mxqvae-seed7.json"
    path.write_bytes(content)
    with pytest.raises(MxqvaeError, match=re.escape(str(path))):
        read_result(path)


def test_a_missing_file_or_folder_is_named(tmp_path: Path):
    with pytest.raises(MxqvaeError, match=r"nowhere\.json"):
        read_result(tmp_path / "nowhere.json")
    with pytest.raises(MxqvaeError, match="nowhere: no such folder"):
        read_results(tmp_path / "nowhere")


def test_two_files_of_one_row_are_refused(table2_result: Table2Result, tmp_path: Path):
    write_result(table2_result, tmp_path)
    write_result(dataclasses.replace(table2_result, name="table2-again"), tmp_path)
    with pytest.raises(MxqvaeError, match=r"table2-again\.json and table2-mxqvae-seed7\.json both hold"):
        read_results(tmp_path)
