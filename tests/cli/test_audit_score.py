import json
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., tuple[int, str, str]]


def test_json_and_file_hold_the_whole_score(
    run: Run, tiny_model: Path, degree_sets_small: Path, tmp_path: Path
):
    out = tmp_path / "score.json"
    code, printed, err = run(
        *("evaluate", "audit", "--data", degree_sets_small, "--weights", tiny_model),
        *("--num", 2, "--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    figures = json.loads(printed)
    assert figures == json.loads(out.read_text())
    assert list(figures["kinds"]) == ["Quad1", "Quad2", "Quad3", "Quad4"]
    assert figures["kinds"]["Quad4"]["num_pairs"] == 2
    assert figures["kinds"]["Quad4"]["contrastive_roc_auc"] is None
    code, printed, _ = run(
        *("evaluate", "audit", "--data", degree_sets_small, "--weights", tiny_model),
        *("--num", 2, "--hide-words", "--json"),
    )
    assert (code, json.loads(printed)["kinds"] == figures["kinds"]) == (0, False)


def test_the_table(run: Run, tiny_model: Path, degree_sets_small: Path):
    code, printed, _ = run(
        "evaluate", "audit", "--data", degree_sets_small, "--weights", tiny_model, "--num", 1
    )
    assert code == 0
    assert "Quad4" in printed
    assert "pairs audited a second" in printed


def test_bad_input_is_named(run: Run, caption_mnist_small: Path, tiny_model: Path, tmp_path: Path):
    code, _, err = run("evaluate", "audit", "--data", caption_mnist_small, "--weights", tiny_model)
    assert (code, "no Degree sets in it" in err) == (2, True)
    code, _, err = run(
        "evaluate", "audit", "--data", caption_mnist_small, "--contrastive", tmp_path / "nowhere"
    )
    assert (code, "nowhere" in err) == (2, True)
