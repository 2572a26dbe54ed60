"""`mxqvae evaluate retrieval`: captions look for their images."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import PathOrNone, at_least
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.retrieval import RetrievalScore


def retrieval(
    samples: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SAMPLES")],
    *,
    data: Path,
    contrastive: Path,
    candidates: int = 100,
    seed: int = 0,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Count the sampled captions that find their own image, and the real held-out ones beside them.

    Args:
        samples: Folder that `mxqvae sample` wrote.
        data: Folder of the data set that the embedding was trained on; its test pairs are the real ones.
        contrastive: Folder that `mxqvae train contrastive` wrote.
        candidates: Images that each caption chooses from.
        seed: Seed of the groups of candidates and of the shuffled captions.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(5, candidates=candidates)
    at_least(0, seed=seed)

    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.contrastive import JointEmbedding
    from mxqvae.evaluation.retrieval import measure_retrieval
    from mxqvae.generation.sample_folder import read_sample_folder
    from mxqvae.progress import progress_beside

    embedding = JointEmbedding.from_pretrained(contrastive)
    sampled = read_sample_folder(samples)
    score = measure_retrieval(
        PairDataset(torch.from_numpy(sampled.images), sampled.captions),
        PairDataset.from_parquet(data, "test"),
        embedding,
        num_candidates=candidates,
        seed=seed,
        progress=progress_beside(json=json),
    )
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "RetrievalScore") -> None:
    table = new_table(
        f"Captions that find their image among {score.num_candidates}",
        "Pairs",
        *("Number", "First", "Among five", "Mean cosine"),
    )
    for name, recall in (
        ("Real pairs (ceiling)", score.ceiling),
        ("Samples", score.samples),
        ("Samples, captions shuffled", score.dealt_samples),
        ("Real pairs, captions shuffled (floor)", score.floor),
    ):
        num, *figures = dataclasses.astuple(recall)
        style = "bold" if name == "Samples" else ""
        table.add_row(name, f"{num:,}", *(f"{figure:.3f}" for figure in figures), style=style)
    ratios = [
        f"{ours / real:.1%}" if real else "–"
        for ours, real in (
            (score.samples.recall_at_1, score.ceiling.recall_at_1),
            (score.samples.recall_at_5, score.ceiling.recall_at_5),
        )
    ]
    print_with(
        table,
        [
            f"Samples over real pairs: {ratios[0]} first, {ratios[1]} among five.",
            f"Embedding: {score.embedding}",
        ],
    )
