import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxqvae.data.pair_source import open_pairs
from mxqvae.data.pairs import PairDataset
from mxqvae.data.split_file import encode_image
from mxqvae.errors import MxqvaeError
from mxqvae.generation import folder_completion
from mxqvae.generation.completion import CompletionConfig
from mxqvae.generation.folder_completion import FolderCompletion, HiddenParts, complete_folder
from mxqvae.generation.partial_pairs import HiddenRegion, Rectangle
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.generation.sample_folder import write_sample_folder

SMALL = CompletionConfig(num_captions=2, num_images=2, num_attempts=1, num_rounds=1)
NO_CAPTIONS = HiddenParts(captions=True)

Complete = Callable[..., FolderCompletion]


@pytest.fixture
def complete_into(tiny_generator: PairGenerator, tmp_path: Path) -> Complete:
    """Complete the pairs of a folder with few candidates, two answers each."""

    def run(pairs: Path, out: Path, hidden: HiddenParts = NO_CAPTIONS, **options) -> FolderCompletion:
        source = open_pairs(pairs)
        return complete_folder(
            tiny_generator, source, out, hidden=hidden, num_answers=2, config=SMALL, **options
        )

    return run


@pytest.fixture
def four_pairs(caption_mnist_small: Path, tmp_path: Path) -> Path:
    """A sample folder of the first four test pairs."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    folder = tmp_path / "four"
    write_sample_folder([PairDataset(pairs.images[:4], pairs.captions[:4])], folder, seed=0)
    return folder


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C at that pair, of those that are yet to do."""
    calls = iter(range(100))

    def complete(*arguments, **options):
        if next(calls) == number:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    whole = folder_completion.complete
    monkeypatch.setattr(folder_completion, "complete", complete)


def test_processes_make_no_difference(complete_into: Complete, four_pairs: Path, tmp_path: Path):
    alone = complete_into(four_pairs, tmp_path / "alone")
    assert complete_into(four_pairs, tmp_path / "together", num_processes=2) == alone
    assert content(tmp_path / "alone") == content(tmp_path / "together")


def test_what_was_done_before_a_stop_is_kept(
    complete_into: Complete, four_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    complete_into(four_pairs, tmp_path / "at once")
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            complete_into(four_pairs, tmp_path / "stopped")
    assert not (tmp_path / "stopped").exists()
    done = complete_into(four_pairs, tmp_path / "stopped")
    assert (done.num_pairs, done.num_completed, done.num_new, done.problems) == (4, 4, 1, [])
    assert content(tmp_path / "stopped") == content(tmp_path / "at once")
    assert {path.name for path in tmp_path.iterdir()} == {"four", "at once", "stopped"}


def test_another_command_s_work_is_refused_by_name(
    complete_into: Complete, four_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            complete_into(four_pairs, out)
    message = r"\.out\.unfinished holds the unfinished work of a command with other hide_images, seed"
    with pytest.raises(MxqvaeError, match=message):
        complete_into(four_pairs, out, HiddenParts(images=True, captions=True), seed=1)
    assert complete_into(four_pairs, out).num_new == 3


def test_the_folder_tells_where_each_pair_was_found(
    complete_into: Complete, four_pairs: Path, tmp_path: Path
):
    out = tmp_path / "out"
    complete_into(four_pairs, out)
    rows = lines_of(out / "metadata.jsonl")
    assert [row["file_name"] for row in rows] == [
        f"{pair:05}-{place}.png" for pair in range(4) for place in (0, 1)
    ]
    assert [row["pair"] for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [(row["file"], row["row"]) for row in rows[2:4]] == [("00001.png", 1)] * 2
    assert not (out / "left_out.jsonl").exists()
    assert not (out / "parts").exists()
    for row in rows:
        given = np.asarray(Image.open(four_pairs / row["file"]))
        np.testing.assert_array_equal(np.asarray(Image.open(out / row["file_name"])), given)


def test_a_data_set_s_images_are_completed_once_and_its_captions_each(
    complete_into: Complete, caption_mnist_small: Path, tmp_path: Path
):
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    rows = [
        {"image": encode_image(pairs.images[row].numpy()), "captions": pairs.captions[2 * row : 2 * row + 2]}
        for row in range(2)
    ]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "train-00000-of-00001.parquet")
    assert complete_into(tmp_path, tmp_path / "captions").num_pairs == 2
    assert complete_into(tmp_path, tmp_path / "images", HiddenParts(images=True)).num_pairs == 4
    found = lines_of(tmp_path / "images" / "metadata.jsonl")
    assert [(row["row"], row["caption_number"]) for row in found[::2]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [row["given_caption"] for row in found[::2]] == pairs.captions[:4]


def test_pairs_that_cannot_be_completed_are_left_out_and_listed(
    complete_into: Complete, four_pairs: Path, tmp_path: Path
):
    rows = lines_of(four_pairs / "metadata.jsonl")
    rows[1]["caption"] = "This is purple [MASK]."
    rows[2]["caption"] = rows[2]["caption"].replace(" is ", " [MASK] ")
    (four_pairs / rows[3]["file_name"]).unlink()
    (four_pairs / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    done = complete_into(four_pairs, out, HiddenParts())
    assert (done.num_pairs, done.num_completed) == (4, 1)
    assert {row["pair"] for row in lines_of(out / "metadata.jsonl")} == {2}
    left_out = lines_of(out / "left_out.jsonl")
    assert [(row["pair"], row["file"]) for row in left_out] == [
        (0, "00000.png"),
        (1, "00001.png"),
        (3, "00003.png"),
    ]
    problems = [row["problem"].partition(";")[0] for row in left_out]
    assert problems == [
        "the whole pair is given, nothing is left to complete",
        "unknown in captions: 'purple'",
        "no image",
    ]
    assert done.problems[0].startswith("pair 0: the whole pair is given")


def test_where_no_pair_can_be_completed_nothing_is_left(
    complete_into: Complete, four_pairs: Path, tmp_path: Path
):
    unknown = [row | {"caption": "[MASK] unheard-of"} for row in lines_of(four_pairs / "metadata.jsonl")]
    (four_pairs / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in unknown))
    with pytest.raises(MxqvaeError, match="none of 4 pairs can be completed; pair 0: "):
        complete_into(four_pairs, tmp_path / "out", HiddenParts())
    assert [path.name for path in tmp_path.iterdir()] == ["four"]


def test_whole_pairs_are_refused_before_all_are_read(
    complete_into: Complete, four_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(folder_completion, "NUM_TRIED", 3)
    with pytest.raises(MxqvaeError, match="nothing of the first 3 pairs is hidden; give --hide, --mask"):
        complete_into(four_pairs, tmp_path / "out", HiddenParts())
    assert [path.name for path in tmp_path.iterdir()] == ["four"]


@pytest.mark.parametrize("out", ["four", ""])
def test_the_pairs_are_never_overwritten(complete_into: Complete, four_pairs: Path, tmp_path: Path, out: str):
    before = content(four_pairs)
    with pytest.raises(MxqvaeError, match=r"holds .*four, which is to be read; choose another"):
        complete_into(four_pairs, tmp_path / out, overwrite=True)
    assert content(four_pairs) == before


def test_a_region_is_hidden_in_every_image(complete_into: Complete, four_pairs: Path, tmp_path: Path):
    region = HiddenRegion(Rectangle(0, 0, 64, 30))
    complete_into(four_pairs, tmp_path / "out", HiddenParts(captions=True, region=region))
    for row in lines_of(tmp_path / "out" / "metadata.jsonl"):
        given = np.asarray(Image.open(four_pairs / row["file"]))
        answer = np.asarray(Image.open(tmp_path / "out" / row["file_name"]))
        np.testing.assert_array_equal(answer[30:], given[30:])


def test_messages(complete_into: Complete, four_pairs: Path, tmp_path: Path):
    (four_pairs / "metadata.jsonl").write_text("")
    with pytest.raises(MxqvaeError, match="there are no pairs to complete"):
        complete_into(four_pairs, tmp_path / "out")
    with pytest.raises(MxqvaeError, match="seed must be in"):
        complete_into(four_pairs, tmp_path / "out", seed=-1)
