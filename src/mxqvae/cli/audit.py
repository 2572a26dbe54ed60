"""`mxqvae audit`: which pairs of a folder do not fit together."""

import dataclasses
import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.cli.arguments import TextOrNone, at_least

NO_LIES_SEEN = (
    "mxqvae: note: these weights were trained without random words in captions (masking.random_word_share 0) "
    "and may miss captions that lie; the recipes pairs-cpu-audit and photos-cpu-audit train with them, see "
    "docs/audit.md"
)


def audit(
    pairs: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PAIRS")],
    *,
    out: Path,
    weights: TextOrNone = None,
    split: TextOrNone = None,
    num_worst: int = 200,
    json: bool = False,
    overwrite: bool = False,
) -> None:
    """Score each pair by how much its image contradicts its caption, each word too, and propose corrections.

    Writes scores.parquet, scores.csv and report.html, which shows the worst pairs and needs no network. After
    a stop, the same command goes on. Images of another size than the model's are cropped and resized as
    `mxqvae data folder` does.

    Args:
        pairs: Folder of a data set, which `mxqvae data` makes, or one that `mxqvae sample` wrote.
        out: Folder to write.
        weights: Model folder, or a hub repository such as user/name; without it, the shipped weights.
        split: The split of a data set; without it, all of them.
        num_worst: Pairs in the report.
        json: Print the summary as JSON.
        overwrite: Replace a folder that has content; an audit of the same pairs by the same weights goes on.
    """
    at_least(0, num_worst=num_worst)

    from mxqvae.audit.auditor import PairAuditor
    from mxqvae.audit.folder_audit import REPORT_FILE, audit_folder, summary_lines
    from mxqvae.data.pair_source import open_pairs
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS
    from mxqvae.progress import NoProgress, progress_on

    source = open_pairs(pairs, split)
    auditor = PairAuditor.from_pretrained(weights or SHIPPED_WEIGHTS)
    if not auditor.has_seen_lies:
        print(NO_LIES_SEEN, file=sys.stderr)
    progress = NoProgress() if json else progress_on()
    done = audit_folder(auditor, source, out, num_worst=num_worst, overwrite=overwrite, progress=progress)
    if json:
        print(json_format.dumps(dataclasses.asdict(done), indent=2, allow_nan=False))
    else:
        print("\n".join([*summary_lines(done.summary), f"report: {out / REPORT_FILE}"]))
