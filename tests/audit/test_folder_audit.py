import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mxqvae.audit import folder_audit
from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.folder_audit import FolderAudit, audit_folder
from mxqvae.audit.score_table import SCHEMA, ScoredPair, read_scores
from mxqvae.data import pair_source
from mxqvae.data.pair_source import open_pairs
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator

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
    assert 11 <= audit.summary.num_doubted <= 15
    assert audit.summary.problems == {}


def test_what_an_audit_leaves(finished: tuple[Path, FolderAudit]):
    out, _ = finished
    names = {path.name for path in out.iterdir()}
    assert names == {"audit.json", "report.html", "scores.csv", "scores.parquet"}
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
    real, calls = folder_audit.audit_chunk, []

    def stopping(auditor: PairAuditor, chunk: pair_source.Chunk) -> list[ScoredPair]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(chunk.number)
        return real(auditor, chunk)

    monkeypatch.setattr(folder_audit, "audit_chunk", stopping)
    with pytest.raises(KeyboardInterrupt):
        audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST)
    assert not (tmp_path / "out" / "scores.parquet").exists()
    monkeypatch.setattr(folder_audit, "audit_chunk", real)
    audit = audit_folder(auditor, open_pairs(dirty), tmp_path / "out", num_worst=NUM_WORST)
    out, whole = finished
    for name in ("scores.parquet", "scores.csv", "report.html", "audit.json"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()
    assert audit.summary == whole.summary
    assert audit.num_new < 60


def test_a_finished_audit_is_not_run_again(
    finished: tuple[Path, FolderAudit], auditor: PairAuditor, dirty: Path, monkeypatch: pytest.MonkeyPatch
):
    out, whole = finished
    monkeypatch.setattr(folder_audit, "audit_chunk", None)
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
    with pytest.raises(MxqvaeError, match="holds an audit of other pairs or by other weights"):
        audit_folder(other, open_pairs(dirty), finished[0], num_worst=1)
    (tmp_path / "mine").write_text("text")
    with pytest.raises(MxqvaeError, match="is not empty and holds no audit; choose another"):
        audit_folder(auditor, open_pairs(dirty), tmp_path, num_worst=1)
    with pytest.raises(MxqvaeError, match="mine is not a folder"):
        audit_folder(auditor, open_pairs(dirty), tmp_path / "mine", num_worst=1)


def test_pairs_that_cannot_be_read_are_counted(tiny_generator: PairGenerator, tmp_path: Path):
    (tmp_path / "pairs").mkdir()
    lines = [{"file_name": "none.png", "caption": "This is red 1."}, {"caption": "This is red 1."}]
    (tmp_path / "pairs" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    other = PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)
    audit = audit_folder(other, open_pairs(tmp_path / "pairs"), tmp_path / "out", num_worst=1)
    assert (audit.summary.num_pairs, audit.summary.num_audited, audit.summary.mean_score) == (2, 0, None)
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


def test_an_audit_of_images_that_changed_is_refused(tiny_generator: PairGenerator, tmp_path: Path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "metadata.jsonl").write_text('{"file_name": "0.png", "caption": "This is red 1."}')
    auditor = PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)
    audit_folder(auditor, open_pairs(tmp_path / "pairs"), tmp_path / "out", num_worst=1)
    (tmp_path / "pairs" / "0.png").write_bytes(b"an image")
    with pytest.raises(MxqvaeError, match="holds an audit of other pairs"):
        audit_folder(auditor, open_pairs(tmp_path / "pairs"), tmp_path / "out", num_worst=1)


def test_any_line_can_be_written_to_the_table(tiny_generator: PairGenerator, tmp_path: Path):
    (tmp_path / "pairs").mkdir()
    lines = [
        '{"file_name": "\\ud800.png", "caption": "\\ud800"}',
        '{"file_name": "\\u0000", "caption": null}',
    ]
    (tmp_path / "pairs" / "metadata.jsonl").write_text("\n".join(lines))
    auditor = PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)
    audit_folder(auditor, open_pairs(tmp_path / "pairs"), tmp_path / "out", num_worst=1)
    pairs = list(read_scores(tmp_path / "out" / "scores.parquet"))
    assert [(pair.caption, pair.problem) for pair in pairs] == [("", "no caption")] * 2
