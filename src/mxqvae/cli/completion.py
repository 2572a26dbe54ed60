"""`mxqvae evaluate completion`: how well a model completes pairs of Caption MNIST."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, TextOrNone, at_least
from mxqvae.cli.figures import give_out, new_table, print_with
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.evaluation.completion import CompletionScore
    from mxqvae.evaluation.consistency import ConsistencyScore


def completion(
    *,
    data: Path,
    num: int = 500,
    split: str = "test",
    seed: int = 0,
    weights: TextOrNone = None,
    judge: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Complete real pairs from their image, from their caption and from half of both, and score the answers.

    Args:
        data: Folder of Caption MNIST.
        num: Pairs, the first of the split.
        split: Split to take them from.
        seed: Seed of the answers.
        weights: Model folder, or a hub repository such as user/name; without it, the shipped weights.
        judge: Folder of a judge; without it, the shipped one.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(2, num=num)
    at_least(0, seed=seed)

    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.completion import measure_completion
    from mxqvae.evaluation.judge import SHIPPED_JUDGE, Judge
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import NoProgress, progress_on

    progress = NoProgress() if json else progress_on()
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS)
    reader = Judge.from_pretrained(judge or SHIPPED_JUDGE)
    pairs = PairDataset.from_parquet(data, split)
    if num > len(pairs):
        raise MxqvaeError(f"--num {num} is more than the {len(pairs)} pairs of split {split!r}; give fewer")
    slots = None if pairs.slots is None else pairs.slots[:num]
    rows = torch.arange(num)
    first = PairDataset(pairs.images, pairs.captions[:num], slots, image_numbers=pairs.image_numbers[rows])
    score = measure_completion(generator, first, reader, seed=seed, progress=progress)
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "CompletionScore") -> None:
    table = new_table(
        f"Completion of {score.num_pairs:,} pairs: share right",
        *("Kind", "Caption of image", "Image of caption", "Half of both", "Ceiling", "Floor"),
    )
    columns = (score.captions.right, score.images.right, score.halves.pairs, score.ceiling, score.floor)
    for kind in score.ceiling.kinds:
        table.add_row(kind, *(_kind_share(column, kind) for column in columns))
    table.add_section()
    table.add_row("All pairs", *(f"{column.consistent.rate:.3f}" for column in columns), style="bold")
    halves, diversity = score.halves, score.images.diversity
    print_with(
        table,
        [
            f"Captions that parse: {score.captions.parsed.rate:.2%}",
            f"Diversity of the images of two seeds: {_percent(diversity)} of that of real digits",
            f"Half of both: {_percent(halves.determined_right)} of {halves.num_determined:,} fixed slots "
            f"right, {_percent(halves.free_consistent)} of {halves.num_free:,} free ones consistent",
        ],
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _kind_share(score: "ConsistencyScore", kind: str) -> str:
    consistent = score.kinds[kind].consistent
    return "–" if consistent is None else f"{consistent.rate:.3f}"
