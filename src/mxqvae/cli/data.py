"""`mxqvae data`: build the data sets."""

from pathlib import Path

from mxqvae.cli.arguments import PathOrNone, at_least


def caption_mnist(
    *,
    out: Path,
    num_train: int = 60_000,
    num_test: int = 10_000,
    seed: int = 0,
    mnist: PathOrNone = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Build Caption MNIST: coloured digits in the quadrants of an image, and a sentence about them.

    The folder opens with `datasets.load_dataset`. The same seed gives the same bytes on every machine.

    Args:
        out: Folder to make.
        num_train: Pairs made of MNIST's training digits.
        num_test: Pairs made of MNIST's test digits.
        seed: Seed of every draw.
        mnist: Folder with the four MNIST files; without it, that of $MXQVAE_MNIST, the cache or a download.
        overwrite: Replace a folder that has content.
        json: Print the manifest in JSON, and no progress.
    """
    at_least(1, num_train=num_train, num_test=num_test)
    at_least(0, seed=seed)

    from mxqvae.config import to_json
    from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
    from mxqvae.data.mnist import load_mnist, named_folder
    from mxqvae.output_folder import check_output_folder, check_sources_stay
    from mxqvae.progress import progress_beside

    check_sources_stay(out, named_folder(mnist))
    check_output_folder(out, overwrite=overwrite)
    config = CaptionMnistConfig(num_train=num_train, num_test=num_test, seed=seed)
    progress = progress_beside(json=json)
    manifest = build_caption_mnist(config, load_mnist(mnist), out, overwrite=overwrite, progress=progress)
    if json:
        print(to_json(manifest))
        return
    for split, built in manifest.splits.items():
        hashes = f"pixels {built.pixels_sha256[:12]}, captions {built.captions_sha256[:12]}"
        print(f"{split}: {built.num_pairs:,} pairs, {hashes}")
    print(f"Caption MNIST, seed {seed}: {out}")


def colour_degree(
    *, data: Path, out: Path, seed: int = 0, overwrite: bool = False, json: bool = False
) -> None:
    """Build the Degree sets of photos: test pairs whose captions name other colours.

    Quad1 to Quad4 are the captions with so many colour words; at degree d of n, d of them are said as they
    are. The folder opens with `datasets.load_dataset`, one split for each kind and degree.

    Args:
        data: Folder of a data set of captioned images, whose test pairs are taken.
        out: Folder to make.
        seed: Seed of every draw.
        overwrite: Replace a folder that has content.
        json: Print the manifest in JSON, and no progress.
    """
    at_least(0, seed=seed)

    from mxqvae.output_folder import check_output_folder
    from mxqvae.progress import progress_beside

    check_output_folder(out, overwrite=overwrite)

    from mxqvae.config import to_json
    from mxqvae.data.colour_degree import build_colour_degree_sets

    progress = progress_beside(json=json)
    manifest = build_colour_degree_sets(data, out, seed=seed, overwrite=overwrite, progress=progress)
    if json:
        print(to_json(manifest))
        return
    for split, built in manifest.splits.items():
        print(f"{split}: {built.num_pairs:,} pairs, captions {built.captions_sha256[:12]}")
    print(f"Degree sets of {len(manifest.colours)} colours, seed {seed}: {out}")


def degree(*, data: Path, out: Path, seed: int = 0, overwrite: bool = False, json: bool = False) -> None:
    """Build the Degree sets of Quad1 to Quad4: test pairs whose captions name other digits and colours.

    Degree d of n: d of the n slots are said as they are. The folder opens with `datasets.load_dataset`, one
    split for each kind and degree. The same seed gives the same bytes on every machine.

    Args:
        data: Folder of Caption MNIST, whose test pairs are taken.
        out: Folder to make.
        seed: Seed of every draw.
        overwrite: Replace a folder that has content.
        json: Print the manifest in JSON, and no progress.
    """
    at_least(0, seed=seed)

    from mxqvae.output_folder import check_output_folder
    from mxqvae.progress import progress_beside

    check_output_folder(out, overwrite=overwrite)

    from mxqvae.config import to_json
    from mxqvae.data.degree import build_degree_sets

    progress = progress_beside(json=json)
    manifest = build_degree_sets(data, out, seed=seed, overwrite=overwrite, progress=progress)
    if json:
        print(to_json(manifest))
        return
    for split, built in manifest.splits.items():
        print(f"{split}: {built.num_pairs:,} pairs, captions {built.captions_sha256[:12]}")
    print(f"Degree sets, seed {seed}: {out}")
