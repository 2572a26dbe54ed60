import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.data.pairs import PairDataset
from mxqvae.generation import completion
from mxqvae.generation.completion import CompletionConfig

Run = Callable[..., tuple[int, str, str]]
SMALL = CompletionConfig(num_captions=2, num_images=2, num_rounds=1)


@pytest.fixture(autouse=True)
def little_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers cost less, and are worse."""
    monkeypatch.setattr(completion, "DEFAULT_COMPLETION", SMALL)


@pytest.fixture
def picture(test_pairs: PairDataset, tmp_path: Path) -> Path:
    """The first test image."""
    path = tmp_path / "in" / "picture.png"
    path.parent.mkdir()
    Image.fromarray(test_pairs.images[0].numpy()).save(path)
    return path


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_captions_for_an_image(run: Run, tiny_model: Path, picture: Path, tmp_path: Path):
    out = tmp_path / "out"
    code, printed, _ = run(
        *("complete", "--weights", tiny_model, "--image", picture, "--num-answers", 3, "--out", out)
    )
    assert code == 0
    assert "3 answers of seed 0 in " in printed
    rows = rows_of(out)
    assert [row["file_name"] for row in rows] == ["00000-0.png", "00000-1.png", "00000-2.png"]
    assert [row["bits"] for row in rows] == sorted(row["bits"] for row in rows)
    for row in rows:
        np.testing.assert_array_equal(Image.open(out / row["file_name"]), Image.open(picture))
        assert f"{row['bits']:.1f} bits  {row['file_name']}  {row['caption']}" in printed
    assert (out / "contact_sheet.png").is_file()


def test_what_is_hidden_of_both(run: Run, tiny_model: Path, picture: Path, tmp_path: Path):
    out, caption = tmp_path / "out", "This is [MASK] 7."
    hidden = np.zeros((64, 64), np.uint8)
    hidden[:30] = 255
    Image.fromarray(hidden).save(tmp_path / "mask.png")
    code, printed, err = run(
        *("complete", "--weights", tiny_model, "--image", picture, "--caption", caption, "--num-answers", 1),
        *("--hide", "0,0,9,64", "--mask", tmp_path / "mask.png", "--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    summary = json.loads(printed)
    assert summary["answers"] == rows_of(out)
    assert (summary["num_pairs"], summary["num_answers"], summary["seed"]) == (1, 1, 0)
    (row,) = summary["answers"]
    before, after = caption.split("[MASK]")
    assert row["caption"].startswith(before)
    assert row["caption"].endswith(after)
    assert row["given_caption"] == caption
    np.testing.assert_array_equal(
        np.asarray(Image.open(out / row["file_name"]))[30:, 9:], np.asarray(Image.open(picture))[30:, 9:]
    )


@pytest.fixture
def few(samples: Path, tmp_path: Path) -> Path:
    """The first two of the sampled pairs."""
    few = tmp_path / "few"
    few.mkdir()
    lines = (samples / "metadata.jsonl").read_text().splitlines(keepends=True)[:2]
    (few / "metadata.jsonl").write_text("".join(lines))
    for line in lines:
        name = json.loads(line)["file_name"]
        (few / name).write_bytes((samples / name).read_bytes())
    return few


def test_a_folder_of_pairs(run: Run, tiny_model: Path, few: Path, tmp_path: Path):
    common = ("complete", "--weights", tiny_model, "--pairs", few, "--num-answers", 2)
    code, printed, err = run(*common, "--hide-images", "--out", tmp_path / "images")
    assert code == 0
    assert "4 answers of seed 0 in " in printed
    assert "complete: 2 rows in " in err
    given = [row["caption"] for row in rows_of(few)]
    assert [row["caption"] for row in rows_of(tmp_path / "images")] == [given[0]] * 2 + [given[1]] * 2
    assert run(*common, "--hide-captions", "--out", tmp_path / "captions")[0] == 0
    assert [(row["pair"], row["given_caption"]) for row in rows_of(tmp_path / "captions")] == [
        (0, ""),
        (0, ""),
        (1, ""),
        (1, ""),
    ]


def test_a_pair_with_nothing_hidden_is_left_out(run: Run, tiny_model: Path, few: Path, tmp_path: Path):
    first, second = rows_of(few)
    second["caption"] = "This is [MASK] 7."
    (few / "metadata.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    command = ("complete", "--weights", tiny_model, "--pairs", few, "--num-answers", 1)
    code, printed, _ = run(*command, "--out", tmp_path / "out")
    assert code == 0
    assert "pair 0: the whole pair is given" in printed
    assert "1 of 2 pairs left out: " in printed
    summary = json.loads(run(*command, "--out", tmp_path / "again", "--json")[1])
    assert (summary["num_pairs"], summary["num_completed"], summary["num_new"]) == (2, 1, 2)


def test_a_data_set(run: Run, tiny_model: Path, caption_mnist_small: Path, tmp_path: Path):
    folder = tmp_path / "small" / "data"
    folder.mkdir(parents=True)
    name = "test-00000-of-00001.parquet"
    rows = pq.read_table(caption_mnist_small / "data" / name).slice(0, 2)
    pq.write_table(rows, folder / name)
    code, _, err = run(
        *("complete", "--weights", tiny_model, "--pairs", folder.parent, "--split", "test"),
        *("--hide-captions", "--num-answers", 1, "--out", tmp_path / "out"),
    )
    assert code == 0, err
    assert [row["row"] for row in rows_of(tmp_path / "out")] == [0, 1]


def test_fields_of_the_search(run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    configs = []

    def complete(*arguments, config, **options):
        configs.append(config)
        return found(*arguments, config=config, **options)

    found = completion.complete
    monkeypatch.setattr(completion, "complete", complete)
    code, _, err = run(
        *("complete", "--weights", tiny_model, "--caption", "This is red 7.", "--num-answers", 1),
        *("--set", "guidance=2", "--set", "sampling.temperature=0.5", "--out", tmp_path / "out"),
    )
    assert code == 0, err
    (config,) = configs
    assert (config.guidance, config.sampling.temperature, config.num_images) == (2, 0.5, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing is given; give --image, --caption or --pairs, or draw by `mxqvae sample`"),
        (("--caption", "This is red 7.", "--pairs", "x"), "--pairs stands alone"),
        (
            ("--caption", "This is red 7.", "--hide-images"),
            "--split, --hide-images, --hide-captions and --processes are for --pairs",
        ),
        (("--caption", "This is red 7.", "--hide", "0,0,5,5"), "--hide and --mask hide a part of an image"),
        (("--caption", "[MASK] [MASK]"), "nothing of the pair is given"),
        (("--caption", "This is purple [MASK]."), "unknown in captions: 'purple'"),
        (("--caption", "[MASK] [MASK]", "--num-answers", 0), "--num-answers must be at least 1, got 0"),
        (("--caption", "This is red 7.", "--seed", -1), "--seed must be at least 0, got -1"),
        (("--image", "PICTURE", "--caption", "This is red 7."), "the whole pair is given"),
        (("--image", "PICTURE", "--hide", "0,0,64,64"), "nothing of the pair is given"),
        (("--image", "PICTURE", "--hide", "0,0,five"), "--hide '0,0,five'"),
        (("--image", "./no/such.png"), "no/such.png: No such file or directory"),
        (("--image", "PICTURE", "--mask", "./no/such.png"), "no/such.png: No such file or directory"),
        (("--pairs", "./no/such"), "no/such is not a folder"),
        (("--caption", "[MASK*0] 7."), "[MASK*0] hides nothing"),
        (("--caption", "This is red 7.", "--set", "guide=1"), "--set guide: no such field; choose from num_"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, tiny_model: Path, picture: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
):
    arguments = tuple(picture if argument == "PICTURE" else argument for argument in arguments)
    code, printed, err = run("complete", "--weights", tiny_model, "--out", tmp_path / "out", *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_weights_are_not_written_over(run: Run, tiny_model: Path):
    arguments = ("--caption", "This is red 7.", "--weights", tiny_model, "--out", tiny_model, "--overwrite")
    code, _, err = run("complete", *arguments)
    assert (code, "which is to be read" in err) == (2, True)
    assert (tiny_model / "prior" / "config.json").is_file()
