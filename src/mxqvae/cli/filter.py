"""`mxqvae data filter`: a data set without the pairs that an audit found worst."""

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
    overwrite: bool = False,
) -> None:
    """Copy a data set without the pairs with the highest scores. Pairs without a score stay.

    Splits that were not audited are copied as they are: audit with `--split train` to leave test pairs alone.

    Args:
        data: Folder of the data set that was audited.
        scores: The scores.parquet that `mxqvae audit` wrote.
        out: Folder to make.
        keep_share: Share of the scored pairs that stay, the best, above 0 and up to 1.
        threshold: Or the bits above which a pair is left out.
        overwrite: Replace a folder that has content.
    """
    if (keep_share is None) == (threshold is None):
        raise MxqvaeError("give one of --keep-share and --threshold")
    if keep_share is not None and not 0 < keep_share <= 1:
        raise MxqvaeError(f"--keep-share must be above 0 and up to 1, got {keep_share}")

    if threshold is not None and not math.isfinite(threshold):
        raise MxqvaeError(f"--threshold must be a number of bits, got {threshold}")

    from mxqvae.output_folder import check_output_folder

    check_output_folder(out, overwrite=overwrite)

    from mxqvae.audit.filtering import filter_by_share, filter_by_threshold

    if keep_share is not None:
        manifest = filter_by_share(data, scores, out, keep_share=keep_share, overwrite=overwrite)
    else:
        manifest = filter_by_threshold(data, scores, out, threshold=threshold or 0.0, overwrite=overwrite)
    print(f"{manifest.num_left_out:,} of {manifest.num_scored:,} scored pairs left out: {out}")
