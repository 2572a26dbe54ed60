"""`mxqvae audit`: which pairs of a folder do not fit together."""

import dataclasses
import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.cli.arguments import IntOrNone, TextOrNone, at_least

NO_LIES_SEEN = (
    "mxqvae: note: these weights saw no false captions in training and may miss them; {remedy}train weights "
    "with the recipe pairs-cpu-audit or photos-cpu-audit (docs/audit.md)"
)
HIDE_WORDS = "add --hide-words, or "


def audit(
    pairs: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PAIRS")],
    *,
    out: Path,
    weights: TextOrNone = None,
    split: TextOrNone = None,
    hide_words: bool = False,
    num_worst: int = 200,
    processes: IntOrNone = None,
    json: bool = False,
    overwrite: bool = False,
) -> None:
    """Score each pair by how much its image contradicts its caption, each word too, and propose corrections.

    Writes scores.parquet, scores.csv and report.html, which shows the worst pairs and needs no network. After
    a stop, the same command goes on. Images of another size than the model's are cropped and resized as
    `mxqvae data folder` does.

    Args:
        pairs: Folder that `mxqvae data` or `mxqvae sample` wrote.
        out: Folder to make.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        split: One split of a data set, such as train; without it, all of them.
        hide_words: Judge each word by the image and the other words alone: for weights that were trained on
            the pairs that are audited, or saw no false captions. Takes up to nine times as long.
        num_worst: Pairs in the report, the worst ones.
        processes: Processes that share the work; without it, one for each core. The result is the same.
        json: Print the summary as JSON.
        overwrite: Replace a folder that has content; an audit of the same pairs by the same weights, in the
            same way, goes on.
    """
    at_least(0, num_worst=num_worst)
    at_least(1, processes=processes)

    from mxqvae.audit.auditor import PairAuditor
    from mxqvae.audit.folder_audit import REPORT_FILE, SCORES_FILE, audit_folder, summary_lines
    from mxqvae.data.pair_source import open_pairs
    from mxqvae.device import num_cores
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS
    from mxqvae.output_folder import check_sources_stay
    from mxqvae.progress import progress_beside

    check_sources_stay(out, weights)
    source = open_pairs(pairs, split)
    auditor = PairAuditor.from_pretrained(weights or SHIPPED_WEIGHTS, hides_words=hide_words)
    if not (auditor.has_seen_lies or hide_words):
        remedy = HIDE_WORDS if auditor.can_hide_words else ""
        print(NO_LIES_SEEN.format(remedy=remedy), file=sys.stderr)
    progress = progress_beside(json=json)
    done = audit_folder(
        auditor,
        source,
        out,
        num_worst=num_worst,
        num_processes=processes or num_cores(),
        overwrite=overwrite,
        progress=progress,
    )
    if json:
        print(json_format.dumps(dataclasses.asdict(done), indent=2, allow_nan=False))
    else:
        print("\n".join([*summary_lines(done.summary), f"Report: {out / REPORT_FILE}"]))
        if done.summary.num_contradicted and (pairs / "data").is_dir():
            scores = out / SCORES_FILE
            print(f"Next: mxqvae data filter {pairs} --scores {scores} --contradicted --out FILTERED")
