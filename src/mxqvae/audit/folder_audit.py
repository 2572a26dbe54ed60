"""Audits a folder of pairs into a folder of results, a part at a time: what was done before a stop is kept.

scores.parquet, scores.csv   a row for each pair, see `score_table`
report.html                  the worst pairs, to look at
regions.parquet              their regions, see `regions`
audit.json                   what was audited, by which weights, and what came out
parts/                       while it runs: the rows so far
"""

import heapq
import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.chunk_audit import audit_chunks
from mxqvae.audit.preparation import OF_THE_WEIGHTS, decode_image, kind_of, prepare
from mxqvae.audit.regions import heat_map, write_regions
from mxqvae.audit.report import ReportedPair, write_report
from mxqvae.audit.score_table import ScoredPair, join_parts, read_scores, write_part
from mxqvae.data.pair_source import CHUNK_SIZE, PairFolder
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file
from mxqvae.output_folder import check_output_folder, check_sources_stay, new_output_folder
from mxqvae.progress import NoProgress, Progress

VERSION = 2
"""Raised whenever the same pairs and weights would get other scores than before."""
RECORD_FILE, SCORES_FILE, TEXT_FILE, REPORT_FILE = "audit.json", "scores.parquet", "scores.csv", "report.html"
REGIONS_FILE = "regions.parquet"
PARTS_FOLDER = "parts"
FEW_ROWS = 2 * CHUNK_SIZE
"""Rows that take no longer than it takes to start processes."""
PAIRS_TRIED = 20
"""Pairs that are read at a time until one is found that can be audited."""


@dataclass(frozen=True, kw_only=True)
class AuditSummary:
    """What came out; `dataclasses.asdict` of it is plain JSON."""

    num_pairs: int
    """Pairs of the source."""
    num_audited: int
    """Pairs with a score."""
    num_contradicted: int
    """Pairs of which a word is contradicted, so that another caption is proposed."""
    mean_score: float | None
    """Mean of the scores, bits; None where there are none."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why the others have none: pairs by problem."""


@dataclass(frozen=True, kw_only=True)
class FolderAudit:
    """A finished audit."""

    summary: AuditSummary
    """Of all pairs."""
    num_new: int
    """Pairs scored by this call, not by one that was stopped before."""
    seconds: float
    """That it took to score them."""


def audit_folder(
    auditor: PairAuditor,
    source: PairFolder,
    out: Path,
    *,
    num_worst: int,
    num_processes: int = 1,
    overwrite: bool = False,
    progress: Progress = NoProgress(),
) -> FolderAudit:
    """Audit all pairs of `source` into the folder `out`; goes on where an earlier call was stopped.

    Memory does not grow with the number of pairs, but for that of the `num_worst` in the report.

    Args:
        num_worst: Pairs in the report.
        num_processes: That share the work, see `audit_chunks`; of few rows one does all.
        overwrite: Replace what `out` holds, if it is not this audit, which goes on.

    Raises:
        MxqvaeError: `out` holds the pairs, or other things or the audit of other pairs and `overwrite` is
            false; nothing can be audited; or a file of pairs is damaged.
    """
    parts = out / PARTS_FOLDER
    _begin(auditor, source, out, overwrite=overwrite)
    num_new, start = 0, time.monotonic()
    if not (out / SCORES_FILE).is_file():
        num_parts = _count_parts(parts)
        num_done = sum(source.chunk_sizes()[:num_parts])
        processes = num_processes if source.num_rows - num_done > FEW_ROWS else 1
        with progress.task("audit", total=source.num_rows, unit="rows", done=num_done) as advance:
            chunks = source.chunks(num_parts)
            try:
                for chunk, scored in audit_chunks(auditor, chunks, num_processes=processes):
                    write_part(_part(parts, chunk.number), scored)
                    num_new += len(scored)
                    advance(chunk.num_rows)
            except KeyboardInterrupt:
                progress.say(f"stopped after {num_new:,} new pairs; the same command goes on from there")
                raise
        seconds = time.monotonic() - start
        paths = [_part(parts, number) for number in range(_count_parts(parts))]
        # The table appears last: where it is, an audit is taken for finished.
        with new_output_file(out / SCORES_FILE) as table, new_output_file(out / TEXT_FILE) as text:
            summary, worst = _look_through(join_parts(paths, table, text), num_worst)
    else:
        seconds = 0.0
        summary, worst = _look_through(read_scores(out / SCORES_FILE), num_worst)
    shutil.rmtree(parts, ignore_errors=True)
    reported = list(_reported(auditor, source, worst, progress))
    write_report(out / REPORT_FILE, reported, [f"Pairs of {source.folder}", *summary_lines(summary)])
    write_regions(out / REGIONS_FILE, ((pair.scored, pair.regions) for pair in reported))
    _write_record(out, _read_record(out) | {"summary": asdict(summary)})
    return FolderAudit(summary=summary, num_new=num_new, seconds=seconds)


def summary_lines(summary: AuditSummary) -> list[str]:
    """The summary in words."""
    mean = "" if summary.mean_score is None else f", {summary.mean_score:.2f} bits a pair"
    problems = [f"{problem}: {num:,} pairs" for problem, num in summary.problems.items()]
    return [
        f"{summary.num_audited:,} of {summary.num_pairs:,} pairs audited{mean}",
        f"{summary.num_contradicted:,} with a word that the image contradicts",
        *problems,
    ]


def _begin(auditor: PairAuditor, source: PairFolder, out: Path, *, overwrite: bool) -> None:
    """Make `out`, or see that what it holds is this audit, begun or done."""
    identity = {"version": VERSION, "weights": auditor.identity(), "source": source.identity()}
    if auditor.hides_words:
        identity["words"] = "hidden"
    check_sources_stay(out, source.folder)
    has_record = (out / RECORD_FILE).is_file()
    if not has_record or _read_record(out).get("identity") != identity:
        if has_record and not overwrite:
            raise MxqvaeError(
                f"output folder {out} holds another audit: of other pairs, by other weights, with or "
                "without --hide-words, by an earlier mxqvae; choose another, or replace it with --overwrite"
            )
        check_output_folder(out, overwrite=overwrite)
        _check_auditable(auditor, source)
        with new_output_folder(out, overwrite=overwrite) as folder:
            _write_record(folder, {"identity": identity})
    (out / PARTS_FOLDER).mkdir(exist_ok=True)


def _check_auditable(auditor: PairAuditor, source: PairFolder) -> None:
    """Refuse pairs of which none can be audited, up to the first chunk with some that other weights could.

    Raises:
        MxqvaeError: Says what is wrong with them, and what to do.
    """
    problems: Counter[str] = Counter()
    for chunk in source.chunks():
        for first in range(0, len(chunk.pairs), PAIRS_TRIED):
            some = chunk.pairs[first : first + PAIRS_TRIED]
            prepared = prepare(some, auditor.tokenizer, auditor.image_size)
            if prepared.places:
                return
            problems.update(kind_of(problem) for problem in prepared.problems if problem is not None)
        if not OF_THE_WEIGHTS.isdisjoint(problems):
            break
    if not problems:
        return
    said = ", ".join(f"{problem}: {num:,}" for problem, num in problems.most_common())
    remedy = (
        "fix them, or make a data set of them by `mxqvae data folder`, which knows more layouts"
        if OF_THE_WEIGHTS.isdisjoint(problems)
        else "give weights trained on such pairs by --weights, from `mxqvae train autoencoder --recipe "
        "pairs-cpu-audit` on a set that `mxqvae data folder` made (docs/audit.md)"
    )
    raise MxqvaeError(
        f"{source.folder}: none of the first {problems.total():,} pairs can be audited ({said}); {remedy}"
    )


def _read_record(out: Path) -> dict[str, Any]:
    try:
        record = json.loads((out / RECORD_FILE).read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise MxqvaeError(f"{out / RECORD_FILE} is damaged; remove {out} and audit again")
    return record


def _write_record(out: Path, record: dict[str, Any]) -> None:
    with new_output_file(out / RECORD_FILE) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _part(parts: Path, number: int) -> Path:
    return parts / f"part-{number:06}.parquet"


def _count_parts(parts: Path) -> int:
    """Parts from number 0 on without a gap."""
    return next(number for number in itertools.count() if not _part(parts, number).is_file())


def _look_through(pairs: Iterable[ScoredPair], num_worst: int) -> tuple[AuditSummary, list[ScoredPair]]:
    """Count all pairs and keep the worst, worst first; of equals, those that come first."""
    worst: list[tuple[float, int, ScoredPair]] = []
    problems: Counter[str] = Counter()
    num_pairs = num_audited = num_contradicted = 0
    total = 0.0
    for number, pair in enumerate(pairs):
        num_pairs += 1
        if pair.score is None:
            problems[kind_of(pair.problem or "")] += 1
            continue
        num_audited += 1
        num_contradicted += pair.is_contradicted
        total += pair.score
        entry = (pair.score, -number, pair)
        if len(worst) < num_worst:
            heapq.heappush(worst, entry)
        elif worst and entry[:2] > worst[0][:2]:
            heapq.heapreplace(worst, entry)
    summary = AuditSummary(
        num_pairs=num_pairs,
        num_audited=num_audited,
        num_contradicted=num_contradicted,
        mean_score=total / num_audited if num_audited else None,
        problems=dict(problems.most_common()),
    )
    return summary, [pair for _, _, pair in sorted(worst, key=lambda entry: entry[:2], reverse=True)]


def _reported(
    auditor: PairAuditor, source: PairFolder, worst: list[ScoredPair], progress: Progress
) -> Iterator[ReportedPair]:
    """The worst pairs with their images and heat maps."""
    images = source.images(pair.key for pair in worst)
    with progress.task("report", total=len(worst), unit="pairs") as advance:
        for pair in worst:
            pixels = decode_image(images.get(pair.key), auditor.image_size)
            # Its image may have been taken away since it was scored.
            if not isinstance(pixels, str):
                regions, heat = [], []
                if pair.warm_words:
                    regions = auditor.regions(torch.from_numpy(pixels), pair.caption)
                    heat = heat_map(regions, auditor.grid_size)
                yield ReportedPair(pair, pixels, heat, regions)
            advance()
