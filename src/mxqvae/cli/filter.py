"""`mxqvae data filter`: a data set without the pairs that an audit found worst, or with its corrections."""

import math
from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.errors import MxqvaeError

ShareOrNone = Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint="")]
BitsOrNone = Annotated[float | None, tyro.conf.arg(metavar="BITS", help_behavior_hint="")]


def filter_pairs(
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")],
    *,
    scores: Path,
    out: Path,
    keep_share: ShareOrNone = None,
    threshold: BitsOrNone = None,
    contradicted: bool = False,
    correct: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Copy a data set without the pairs that an audit found worst, or with the captions that it proposes.

    Give one of --keep-share, --threshold, --contradicted and --correct. Pairs without a score and splits that
    were not audited stay as they are: audit with `--split train` to leave test pairs alone.

    Args:
        data: Folder of the data set that was audited.
        scores: The scores.parquet that `mxqvae audit` wrote.
        out: Folder to make.
        keep_share: Keep this share of the scored pairs, the best; above 0, at most 1.
        threshold: Leave out the pairs whose score, in bits, is above this; report.html shows them.
        contradicted: Leave out the pairs for which the audit proposes another caption.
        correct: Keep all pairs, with the captions that the audit proposes.
        overwrite: Replace a folder that has content.
        json: Print the manifest in JSON.
    """
    if sum([keep_share is not None, threshold is not None, contradicted, correct]) != 1:
        raise MxqvaeError("give one of --keep-share, --threshold, --contradicted and --correct")
    if keep_share is not None and not 0 < keep_share <= 1:
        raise MxqvaeError(f"--keep-share must be above 0 and up to 1, got {keep_share}")

    if threshold is not None and not math.isfinite(threshold):
        raise MxqvaeError(f"--threshold must be a number of bits, got {threshold}")

    from mxqvae.output_folder import check_output_folder

    check_output_folder(out, overwrite=overwrite)

    from mxqvae.audit import filtering
    from mxqvae.config import to_json

    if keep_share is not None:
        manifest = filtering.filter_by_share(data, scores, out, keep_share=keep_share, overwrite=overwrite)
    elif threshold is not None:
        manifest = filtering.filter_by_threshold(data, scores, out, threshold=threshold, overwrite=overwrite)
    elif contradicted:
        manifest = filtering.leave_out_contradicted(data, scores, out, overwrite=overwrite)
    else:
        manifest = filtering.correct_captions(data, scores, out, overwrite=overwrite)
    if json:
        print(to_json(manifest))
        return
    if correct:
        print(f"{manifest.num_corrected:,} of {manifest.num_scored:,} scored pairs corrected: {out}")
    else:
        print(f"{manifest.num_left_out:,} of {manifest.num_scored:,} scored pairs left out: {out}")
    if manifest.recall is not None:
        precision = "–" if manifest.precision is None else f"{manifest.precision:.4f}"
        print(f"By the column corrupted: precision {precision}, recall {manifest.recall:.4f}.")
