import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mxqvae.audit import chunk_audit, folder_audit, regions, score_table
from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.folder_audit import FolderAudit, audit_folder
from mxqvae.audit.preparation import decode_image
from mxqvae.audit.score_table import SCHEMA, ScoredPair, read_scores
from mxqvae.data import pair_source
from mxqvae.data.pair_source import open_pairs
from mxqvae.data.split_file import encode_image
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.progress import LineProgress

NUM_WORST = 3


@pytest.fixture(scope="module")
def finished(auditor: PairAuditor, dirty: Path, tmp_path_factory: pytest.TempPathFactory):
    """An audit that was not stopped, in chunks of 20."""
    out = tmp_path_factory.mktemp("audit") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_source, "CHUNK_SIZE", 20)
        return out, audit_folder(auditor, open_pairs(dirty), out, num_worst=NUM_WORST)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_source, "CHUNK_SIZE", 20)


def test_the_pairs_that_lie_are_the_worst(finished: tuple[Path, FolderAudit], dirty: Path):
    out, audit = finished
    rows = pq.read_table(dirty / "data/train-00000-of-00001.parquet").to_pylist()
    pairs = list(read_scores(out / "scores.parquet"))
    assert [pair.caption for pair in pairs] == [row["caption"] for row in rows]
    ordered = sorted(zip(pairs, rows, strict=True), key=lambda item: item[0].score or 0, reverse=True)
    assert [row["corrupted"] for _, row in ordered] == [True] * 12 + [False] * 48
    right = [pair.proposed_caption == row["original_caption"] for pair, row in ordered]
    assert sum(right) >= 57
    assert (audit.summary.num_pairs, audit.summary.num_audited, audit.num_new) == (60, 60, 60)
    assert 11 <= audit.summary.num_contradicted <= 15
    assert audit.summary.problems == {}


def test_what_an_audit_leaves(finished: tuple[Path, FolderAudit]):
    out, _ = finished
    names = {path.name for path in out.iterdir()}
    assert names == {"audit.json", "regions.parquet", "report.html", "scores.csv", "scores.parquet"}
    assert pq.read_schema(out / "scores.parquet") == SCHEMA
    assert (out / "scores.csv").read_text().count("\n") == 61
    assert (out / "report.html").read_text().count("<article") == NUM_WORST
    assert json.loads((out / "audit.json").read_text())["summary"]["num_pairs"] == 60


def test_a_stopped_audit_goes_on_to_the_same_table(
    finished: tuple[Path, FolderAudit],
    auditor: PairAuditor,
    dirty: Path,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    real, calls = chunk_audit.audit_pairs, []

    def stopping(auditor: PairAuditor, pairs: list[pair_source.FoundPair]) -> list[ScoredPair]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(pairs))
        return real(auditor, pairs)

    monkeypatch.setattr(chunk_audit, "audit_pairs", stopping)
    progress = LineProgress(io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST, progress=progress)
    assert isinstance(progress.stream, io.StringIO)
    assert "new pairs; the same command goes on from there\n" in progress.stream.getvalue()
    assert not (tmp_path / "out" / "scores.parquet").exists()
    monkeypatch.setattr(chunk_audit, "audit_pairs", real)
    audit = audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST)
    out, whole = finished
    for name in ("scores.parquet", "scores.csv", "report.html", "regions.parquet", "audit.json"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()
    assert audit.summary == whole.summary
    assert audit.num_new < 60


def test_several_processes_make_the_same_table(
    finished: tuple[Path, FolderAudit],
    auditor: PairAuditor,
    dirty: Path,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(folder_audit, "FEW_ROWS", 0)
    monkeypatch.setattr(chunk_audit, "PAIRS_AT_A_TIME", 13)
    out = tmp_path / "out"
    audit = audit_folder(auditor, open_pairs(dirty), out, num_worst=NUM_WORST, num_processes=2)
    for name in ("scores.parquet", "scores.csv", "report.html", "regions.parquet", "audit.json"):
        assert (out / name).read_bytes() == (finished[0] / name).read_bytes()
    assert audit.num_new == 60


def test_a_finished_audit_is_not_run_again(
    finished: tuple[Path, FolderAudit], auditor: PairAuditor, dirty: Path, monkeypatch: pytest.MonkeyPatch
):
    out, whole = finished
    monkeypatch.setattr(chunk_audit, "audit_pairs", None)
    report = (out / "report.html").read_bytes()
    audit = audit_folder(auditor, open_pairs(dirty), out, num_worst=NUM_WORST)
    assert (audit.summary, audit.num_new) == (whole.summary, 0)
    assert (out / "report.html").read_bytes() == report


def test_other_weights_and_other_content_are_refused(
    finished: tuple[Path, FolderAudit],
    auditor: PairAuditor,
    tiny_generator: PairGenerator,
    dirty: Path,
    tmp_path: Path,
):
    other = PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)
    with pytest.raises(MxqvaeError, match=r"with or without --hide-words"):
        audit_folder(other, open_pairs(dirty), finished[0], num_worst=1)
    (tmp_path / "mine").write_text("text")
    with pytest.raises(MxqvaeError, match="is not empty; choose another, or replace it with --overwrite"):
        audit_folder(auditor, open_pairs(dirty), tmp_path, num_worst=1)
    with pytest.raises(MxqvaeError, match="mine is not a folder"):
        audit_folder(auditor, open_pairs(dirty), tmp_path / "mine", num_worst=1)
    for folder in (dirty, dirty.parent):
        with pytest.raises(MxqvaeError, match="which is to be read; choose another"):
            audit_folder(auditor, open_pairs(dirty), folder, num_worst=1, overwrite=True)


def test_the_regions_of_the_report_have_their_table(
    finished: tuple[Path, FolderAudit], auditor: PairAuditor, dirty: Path
):
    out, _ = finished
    table = pq.read_table(out / "regions.parquet")
    assert table.schema == regions.SCHEMA
    rows = pq.read_table(dirty / "data/train-00000-of-00001.parquet").to_pylist()
    worst = max(read_scores(out / "scores.parquet"), key=lambda pair: pair.score or 0)
    found = [row for row in table.to_pylist() if row["row"] == worst.key.row]
    assert worst.words is not None
    assert len(found) == 25 * len(worst.warm_words) > 0
    assert found[0]["word"] == worst.worst_word == worst.words[found[0]["word_number"]]
    assert {(row["width"], row["height"]) for row in found} == {(32, 32)}
    lie = max(found[:25], key=lambda row: row["score"])
    assert lie["score"] > 1
    pixels = decode_image(rows[worst.key.row]["image"]["bytes"], 64)
    expected = auditor.regions(torch.tensor(pixels), worst.caption)
    scores = [region.word_bits[found[0]["word_number"]] for region in expected]
    assert [row["score"] for row in found[:25]] == pytest.approx(scores, abs=1e-4)


def test_pairs_without_a_warm_word_are_shown_without_heat(
    novice: PairAuditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(score_table, "DULL_BITS", 1e9)
    monkeypatch.setattr(PairAuditor, "regions", None)
    audit_folder(novice, open_pairs(write_pairs(tmp_path / "pairs", GOOD)), tmp_path / "out", num_worst=1)
    report = (tmp_path / "out" / "report.html").read_text()
    assert (report.count("<article"), report.count('class="heat"')) == (1, 0)
    assert pq.read_metadata(tmp_path / "out" / "regions.parquet").num_rows == 0


@pytest.fixture
def novice(tiny_generator: PairGenerator) -> PairAuditor:
    """All parts, no skill."""
    return PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)


def write_pairs(folder: Path, *lines: str) -> Path:
    """A sample folder with these lines of metadata and one image, 0.png."""
    folder.mkdir(exist_ok=True)
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    (folder / "0.png").write_bytes(encode_image(np.zeros((64, 64, 3), np.uint8))["bytes"])
    return folder


def line_of(caption: str, name: str = "0.png") -> str:
    return json.dumps({"file_name": name, "caption": caption})


GOOD = line_of("This is red 1.")


def test_a_folder_is_replaced_when_asked_to_and_this_audit_goes_on(novice: PairAuditor, tmp_path: Path):
    pairs, out = write_pairs(tmp_path / "pairs", GOOD), tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("text")
    assert audit_folder(novice, open_pairs(pairs), out, num_worst=0, overwrite=True).num_new == 1
    assert not (out / "mine").exists()
    assert audit_folder(novice, open_pairs(pairs), out, num_worst=0, overwrite=True).num_new == 0
    write_pairs(pairs, GOOD, GOOD)
    with pytest.raises(MxqvaeError, match=r"another audit: .* replace it with --overwrite"):
        audit_folder(novice, open_pairs(pairs), out, num_worst=0)
    audit = audit_folder(novice, open_pairs(pairs), out, num_worst=0, overwrite=True)
    assert (audit.num_new, audit.summary.num_pairs) == (2, 2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [line_of("A dog."), line_of("Cats."), line_of("", "x")],
            r"pairs: none of the first 3 pairs can be audited \(words outside the vocabulary: 2, no caption: "
            r"1\); give weights trained on such pairs by --weights, from `mxqvae train autoencoder --recipe",
        ),
        (
            [line_of("This is red 1.", "x"), line_of("This is red 1.", "y")],
            r"none of the first 2 pairs can be audited \(no image: 2\); fix them, or make .* `mxqvae data ",
        ),
    ],
    ids=["weights", "images"],
)
def test_pairs_of_which_none_can_be_audited_are_refused_and_nothing_is_written(
    novice: PairAuditor, tmp_path: Path, lines: list[str], message: str
):
    pairs, out = write_pairs(tmp_path / "pairs", *lines), tmp_path / "out"
    with pytest.raises(MxqvaeError, match=message):
        audit_folder(novice, open_pairs(pairs), out, num_worst=1)
    assert not out.exists()
    out.mkdir()
    (out / "mine").write_text("text")
    with pytest.raises(MxqvaeError, match=message):
        audit_folder(novice, open_pairs(pairs), out, num_worst=1, overwrite=True)
    assert (out / "mine").read_text() == "text"


def test_a_chunk_that_cannot_be_read_does_not_stop_an_audit(
    novice: PairAuditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pair_source, "CHUNK_SIZE", 1)
    pairs = write_pairs(tmp_path / "pairs", line_of("This is red 1.", "x"), GOOD)
    audit = audit_folder(novice, open_pairs(pairs), tmp_path / "out", num_worst=0)
    assert (audit.summary.num_audited, audit.summary.problems) == (1, {"no image": 1})


def test_no_pairs(novice: PairAuditor, tmp_path: Path):
    audit = audit_folder(novice, open_pairs(write_pairs(tmp_path / "pairs")), tmp_path / "out", num_worst=1)
    assert (audit.summary.num_pairs, audit.summary.mean_score) == (0, None)


def test_pairs_that_cannot_be_read_are_counted(novice: PairAuditor, tmp_path: Path):
    lines = [line_of("This is red 1.", "none.png"), json.dumps({"caption": "This is red 1."}), GOOD]
    pairs = write_pairs(tmp_path / "pairs", *lines)
    audit = audit_folder(novice, open_pairs(pairs), tmp_path / "out", num_worst=1)
    assert (audit.summary.num_pairs, audit.summary.num_audited) == (3, 1)
    assert audit.summary.problems == {"no image": 2}


def test_a_stop_before_the_table_appears_loses_nothing(
    finished: tuple[Path, FolderAudit],
    auditor: PairAuditor,
    dirty: Path,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    replace = Path.replace

    def stopping(path: Path, target: Path) -> Path:
        if target.name == "scores.parquet":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST)
    # The other way round, the next call would take the audit for finished, its CSV file missing for good.
    assert (tmp_path / "out" / "scores.csv").is_file()
    audit = audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST)
    assert audit.num_new == 0
    for name in ("scores.parquet", "scores.csv", "report.html", "audit.json"):
        assert (tmp_path / "out" / name).read_bytes() == (finished[0] / name).read_bytes()


def test_an_audit_of_images_that_changed_is_refused(novice: PairAuditor, tmp_path: Path):
    pairs = write_pairs(tmp_path / "pairs", GOOD)
    audit_folder(novice, open_pairs(pairs), tmp_path / "out", num_worst=1)
    (pairs / "0.png").write_bytes(b"an image")
    with pytest.raises(MxqvaeError, match="holds another audit: of other pairs"):
        audit_folder(novice, open_pairs(pairs), tmp_path / "out", num_worst=1)


def test_any_line_can_be_written_to_the_table(novice: PairAuditor, tmp_path: Path):
    lines = [
        '{"file_name": "\\ud800.png", "caption": "\\ud800"}',
        '{"file_name": "\\u0000", "caption": null}',
        GOOD,
    ]
    pairs = write_pairs(tmp_path / "pairs", *lines)
    audit_folder(novice, open_pairs(pairs), tmp_path / "out", num_worst=1)
    found = list(read_scores(tmp_path / "out" / "scores.parquet"))
    assert [(pair.caption, pair.problem) for pair in found[:2]] == [("", "no caption")] * 2
