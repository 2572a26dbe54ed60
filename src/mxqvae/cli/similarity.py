"""`mxqvae evaluate similarity`: whether sampled captions say what captions of similar real images say."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import PathOrNone, at_least
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.similarity import SimilarityComparison


def similarity(
    samples: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SAMPLES")],
    *,
    data: Path,
    references: str = "test",
    neighbours: int = 10,
    seed: int = 0,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Score sampled captions against those of the real images nearest to their own image (Table 3).

    Needs `pip install 'mxqvae[similarity]'`.

    Args:
        samples: Folder that `mxqvae sample` wrote.
        data: Folder of the data set that the model was trained on; its test pairs give ceiling and floor.
        references: Split that references are taken from: test, of which the model knows nothing, or train,
            where the splits show different things, such as species of their own.
        neighbours: Nearest real images whose captions a pair is scored against; together they need 10.
        seed: Seed of the deals of captions.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(1, neighbours=neighbours)
    at_least(0, seed=seed)

    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.evaluation.sentence_encoder import MiniLMEncoder
    from mxqvae.evaluation.similarity import measure_similarity
    from mxqvae.generation.sample_folder import read_sample_folder
    from mxqvae.progress import progress_beside

    sampled = read_sample_folder(samples)
    test = PairDataset.from_parquet(data, "test")
    comparison = measure_similarity(
        PairDataset(torch.from_numpy(sampled.images), sampled.captions),
        test,
        test if references == "test" else PairDataset.from_parquet(data, references),
        EfficientNetFeatures.from_package(),
        MiniLMEncoder.from_package(),
        num_neighbours=neighbours,
        seed=seed,
        progress=progress_beside(json=json),
    )
    give_out(dataclasses.asdict(comparison), lambda: _print_table(comparison), out=out, json=json)


def _print_table(comparison: "SimilarityComparison") -> None:
    table = new_table(
        "Captions against those of similar real images",
        "Pairs",
        *("Number", "Unigram precision", "of all references", "Top-1", "Top-5", "Top-10"),
    )
    for name, score in (
        ("Real pairs (ceiling)", comparison.ceiling),
        ("Samples", comparison.samples),
        ("Samples, captions shuffled", comparison.dealt_samples),
        ("Real pairs, captions shuffled (floor)", comparison.floor),
    ):
        num, *figures = dataclasses.astuple(score)
        style = "bold" if name == "Samples" else ""
        table.add_row(name, f"{num:,}", *(f"{figure:.3f}" for figure in figures), style=style)
    print_with(
        table,
        [
            f"References: {comparison.references_per_pair:.1f} a sample, captions of the "
            f"{comparison.num_neighbours} nearest of {comparison.num_reference_images:,} real images.",
            f"Nearest by the cosine of: {comparison.feature_space}",
            f"Sentence similarity by the cosine of: {comparison.sentence_encoder}",
        ],
    )
