"""`mxqvae evaluate memorization`: whether sampled images are copies of training images."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import PathOrNone, TextOrNone, writes
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.memorization import MemorizationScore, Reference


def memorization(
    samples: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SAMPLES")],
    *,
    data: Path,
    weights: TextOrNone = None,
    recipe: TextOrNone = None,
    sheet: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Find how near sampled images come to training images, and as many real test images beside them.

    Where a data set has several captions an image, each image counts once. Samples of Caption MNIST are held
    against test images of their own kind, too.

    Args:
        samples: Folder that `mxqvae sample` wrote.
        data: Folder of the data set that the model was trained on.
        weights: Model folder, or a hub repository such as user/name; with it, there is a second reference:
            the test images that its stage 1 has encoded and decoded, as blurred as samples are.
        recipe: Recipe that trained the model; give it where that mirrors images, as photos-cpu does: mirrored
            training images are then searched too. Without it, the default for the data set.
        sheet: PNG file for a contact sheet: the nearest samples, each beside its training pair.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    writes("PNG", ".png", sheet=sheet)

    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.encoding import encode_pairs
    from mxqvae.evaluation.memorization import (
        find_neighbours,
        kinds_of,
        neighbour_sheet,
        reconstruct_pairs,
        score_neighbours,
    )
    from mxqvae.generation.contact_sheet import write_picture
    from mxqvae.generation.pipeline import PairGenerator
    from mxqvae.generation.sample_folder import read_sample_folder
    from mxqvae.progress import progress_beside
    from mxqvae.recipes import find_recipe, fitting_recipe

    mirrored = find_recipe(fitting_recipe(data, recipe)).horizontal_flip
    generator = None if weights is None else PairGenerator.from_pretrained(weights)
    progress = progress_beside(json=json)
    sampled = read_sample_folder(samples)
    images = torch.from_numpy(sampled.images)
    train, test = (PairDataset.from_parquet(data, split).one_per_image() for split in ("train", "test"))
    reconstructed = None
    if generator is not None:
        indices = encode_pairs(generator.autoencoder, generator.tokenizer, test, progress=progress)
        reconstructed = reconstruct_pairs(generator, indices).images
    found = find_neighbours(
        images, train.images, test.images, reconstructed, mirrored=mirrored, progress=progress
    )
    score = score_neighbours(found, kinds_of(sampled.captions, test))
    if sheet is not None:
        picture = neighbour_sheet(images, sampled.captions, train.images, train.captions, found.samples)
        write_picture(sheet, picture)
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "MemorizationScore") -> None:
    table = new_table(
        f"Distance to the nearest of {score.num_training:,} training images",
        "Images",
        *("Number", "Nearest", "5%", "25%", "Median", "75%", "95%", "Copies"),
    )
    rows = [("Samples", score.num_samples, score.samples), ("Test images", score.num_test, score.test)]
    shares: list[tuple[str, MemorizationScore | Reference]] = [("the test images", score)]
    if (reference := score.reconstructed) is not None:
        rows.append(("Reconstructed", score.num_test, reference.distances))
        shares.append(("their reconstructions", reference))
    for name, num, distances in rows:
        *quantiles, num_copies = dataclasses.astuple(distances)
        table.add_row(name, f"{num:,}", *(f"{quantile:.4f}" for quantile in quantiles), f"{num_copies:,}")
    lines = ["Distance: root mean square over pixel values in [0, 1]. Copies: of distance 0."]
    for name, nearer in shares:
        lines.append(_line_of_shares(name, nearer.nearer_than_p05, nearer.nearer_than_median))
        if nearer.nearer_than_p05_of_kind is not None and nearer.nearer_than_median_of_kind is not None:
            of_kind = (nearer.nearer_than_p05_of_kind, nearer.nearer_than_median_of_kind)
            lines.append(_line_of_shares(f"{name} of their own kind", *of_kind))
    print_with(table, lines)


def _line_of_shares(name: str, p05: float, median: float) -> str:
    return f"Samples nearer than the nearest 5% of {name}: {p05:.2%}; than half of them: {median:.2%}"
