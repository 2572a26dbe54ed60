"""`mxqvae train contrastive` and `mxqvae evaluate retrieval`: captions look for their images."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import Changes, IntOrNone, PathOrNone, asks_for_steps, at_least
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.retrieval import RetrievalScore


def contrastive(*, data: Path, out: Path, seed: IntOrNone = None, changes: Changes = ()) -> None:
    """Train a joint embedding on training pairs, never on samples. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set.
        out: Folder to write; checkpoint and log are in its run.
        seed: Seed of the weights, the batch order and the shifts of images.
        changes: Another value for a field of the training, such as num_steps=100; so many are then taken,
            however few the pairs.
    """
    at_least(0, seed=seed)

    from mxqvae.config import changed
    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.contrastive_training import MAX_EPOCHS, TRAINING, train_contrastive
    from mxqvae.output_folder import check_output_folder
    from mxqvae.progress import progress_on
    from mxqvae.training.loop import override_training

    run = out / "run"
    if not run.is_dir():
        check_output_folder(out)
    training = override_training(TRAINING, changes)
    training = training if seed is None else changed(training, "training", seed=seed)
    embedding = train_contrastive(
        PairDataset.from_parquet(data, "train"),
        training,
        run,
        max_epochs=None if asks_for_steps(changes) else MAX_EPOCHS,
        progress=progress_on(),
    )
    embedding.save_pretrained(out)
    print(f"joint embedding, trained in {embedding.model.config.training.num_steps:,} steps: {out}")


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
    from mxqvae.progress import NoProgress, progress_on

    embedding = JointEmbedding.from_pretrained(contrastive)
    sampled = read_sample_folder(samples)
    score = measure_retrieval(
        PairDataset(torch.from_numpy(sampled.images), sampled.captions),
        PairDataset.from_parquet(data, "test"),
        embedding,
        num_candidates=candidates,
        seed=seed,
        progress=NoProgress() if json else progress_on(),
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
        ("Captions shuffled (floor)", score.floor),
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
