"""`mxqvae data corrupt`: captions that lie, to try what finds them."""

from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.cli.arguments import at_least
from mxqvae.errors import MxqvaeError


def corrupt(
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")],
    *,
    share: float,
    out: Path,
    seed: int = 0,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Copy Caption MNIST with captions that lie, a share of those for training.

    Each names another digit and another colour in one slot; the column `corrupted` says which do. Test pairs
    stay. The same seed corrupts the same captions, those of a smaller share among them.

    Args:
        data: Folder of Caption MNIST.
        share: Share of the training captions that are to lie, from 0 to 1.
        out: Folder to make.
        seed: Seed of every draw.
        overwrite: Replace a folder that has content.
        json: Print the manifest in JSON.
    """
    at_least(0, seed=seed)
    if not 0 <= share <= 1:
        raise MxqvaeError(f"--share must be from 0 to 1, got {share}")

    from mxqvae.output_folder import check_output_folder

    check_output_folder(out, overwrite=overwrite)

    from mxqvae.config import to_json
    from mxqvae.data.corruption import SPLIT, corrupt_captions

    manifest = corrupt_captions(data, out, share=share, seed=seed, overwrite=overwrite)
    if json:
        print(to_json(manifest))
        return
    print(f"{manifest.num_corrupted:,} of {manifest.splits[SPLIT]:,} training captions lie: {out}")
