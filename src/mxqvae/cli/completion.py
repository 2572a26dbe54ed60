"""`mxqvae evaluate completion` and `guidance`: how well a model completes pairs of Caption MNIST."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mxqvae.cli.arguments import Changes, IntOrNone, PathOrNone, TextOrNone, at_least, writes
from mxqvae.cli.figures import give_out, new_table, print_with
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.completion import CompletionScore
    from mxqvae.evaluation.consistency import ConsistencyScore
    from mxqvae.evaluation.guidance_curve import GuidanceCurve


def completion(
    *,
    data: Path,
    num: int = 500,
    ways: tuple[Literal["captions", "images", "halves"], ...] = ("captions", "images", "halves"),
    split: str = "test",
    seed: int = 0,
    weights: TextOrNone = None,
    judge: PathOrNone = None,
    changes: Changes = (),
    processes: IntOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Complete real pairs from their image, from their caption and from half of both, and score the answers.

    Args:
        data: Folder of Caption MNIST.
        num: Pairs, the first of the split.
        ways: What is to be found: captions of images, images of captions, halves of both.
        split: Split to take them from.
        seed: Seed of the answers.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        judge: Folder that `mxqvae train judge` wrote; without it, the shipped judge.
        changes: Another value for a field of the search, as for `mxqvae complete`.
        processes: Processes that share the work; without it, from 20 answers on one for each core, else one.
            The figures are the same.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(2, num=num)
    at_least(0, seed=seed)
    at_least(1, processes=processes)

    from mxqvae.config import override
    from mxqvae.device import find_device
    from mxqvae.evaluation.completion import measure_completion, num_answers
    from mxqvae.evaluation.judge import SHIPPED_JUDGE, Judge
    from mxqvae.generation.completion import DEFAULT_COMPLETION
    from mxqvae.generation.parallel import FEW_ANSWERS, fitting_processes
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import progress_beside

    config = override(DEFAULT_COMPLETION, changes)
    progress = progress_beside(json=json)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS).to(find_device())
    reader = Judge.from_pretrained(judge or SHIPPED_JUDGE)
    pairs = _first_pairs(data, split, num)
    score = measure_completion(
        generator,
        pairs,
        reader,
        ways=ways,
        seed=seed,
        config=config,
        num_processes=processes or fitting_processes(generator, num_answers(ways) * num, FEW_ANSWERS),
        progress=progress,
    )
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def guidance(
    *,
    data: Path,
    guidances: tuple[float, ...] = (1.0, 1.25, 1.5, 2.0),
    num: int = 100,
    split: str = "test",
    seed: int = 0,
    weights: TextOrNone = None,
    judge: PathOrNone = None,
    changes: Changes = (),
    processes: IntOrNone = None,
    plot: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Find images for captions with several guidances: how many are right, against how diverse they are.

    Args:
        data: Folder of Caption MNIST.
        guidances: How closely images follow their captions, one or more values; 1: as learned.
        num: Captions, the first of the split.
        split: Split to take them from.
        seed: Seed of the answers; diversity takes two.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        judge: Folder that `mxqvae train judge` wrote; without it, the shipped judge.
        changes: Another value for a field of the search, as for `mxqvae complete`; num_images=1 and
            num_attempts=1 give single draws, without a choice among candidates.
        processes: Processes that share the work; without it, from 20 answers on one for each core, else one.
            The figures are the same.
        plot: PNG file to draw the curve in; needs `pip install 'mxqvae[plots]'`.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(2, num=num)
    at_least(0, seed=seed)
    at_least(1, processes=processes)
    writes("PNG", ".png", plot=plot)
    if plot is not None:
        import mxqvae.evaluation.guidance_plot  # noqa: F401 - missed now, not when minutes are spent

    from mxqvae.config import override
    from mxqvae.device import find_device
    from mxqvae.evaluation.completion import num_answers
    from mxqvae.evaluation.guidance_curve import measure_guidance
    from mxqvae.evaluation.judge import SHIPPED_JUDGE, Judge
    from mxqvae.generation.completion import DEFAULT_COMPLETION
    from mxqvae.generation.parallel import FEW_ANSWERS, fitting_processes
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import progress_beside

    config = override(DEFAULT_COMPLETION, changes)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS).to(find_device())
    reader = Judge.from_pretrained(judge or SHIPPED_JUDGE)
    curve = measure_guidance(
        generator,
        _first_pairs(data, split, num),
        reader,
        guidances,
        seed=seed,
        config=config,
        num_processes=processes or fitting_processes(generator, num_answers(["images"]) * num, FEW_ANSWERS),
        progress=progress_beside(json=json),
    )
    if plot is not None:
        from mxqvae.evaluation.guidance_plot import write_guidance_plot

        write_guidance_plot(plot, curve)
    give_out(dataclasses.asdict(curve), lambda: _print_curve(curve), out=out, json=json)


def _first_pairs(data: Path, split: str, num: int) -> "PairDataset":
    import torch

    from mxqvae.data.pairs import PairDataset

    pairs = PairDataset.from_parquet(data, split)
    if num > len(pairs):
        raise MxqvaeError(f"--num {num} is more than the {len(pairs)} pairs of split {split!r}; give fewer")
    slots = None if pairs.slots is None else pairs.slots[:num]
    numbers = pairs.image_numbers[torch.arange(num)]
    return PairDataset(pairs.images, pairs.captions[:num], slots, image_numbers=numbers)


def _print_table(score: "CompletionScore") -> None:
    captions, images, halves = score.captions, score.images, score.halves
    columns = {
        "Caption of image": captions and captions.right,
        "Image of caption": images and images.right,
        "Half of both": halves and halves.pairs,
        "Ceiling": score.ceiling,
        "Floor": score.floor,
    }
    shown = {name: column for name, column in columns.items() if column is not None}
    table = new_table(f"Completion of {score.num_pairs:,} pairs: share right", "Kind", *shown)
    for kind in score.ceiling.kinds:
        table.add_row(kind, *(_kind_share(column, kind) for column in shown.values()))
    table.add_section()
    shares = (f"{column.consistent.rate:.3f}" for column in shown.values())
    table.add_row("All pairs", *shares, style="bold")
    remarks = []
    if captions is not None:
        remarks.append(f"Captions that parse: {captions.parsed.rate:.2%}")
    if images is not None:
        diversity = _percent(images.diversity)
        remarks.append(f"Diversity of the images of two seeds: {diversity} of that of real digits")
    if halves is not None:
        remarks.append(
            f"Half of both: {_percent(halves.determined_right)} of {halves.num_determined:,} fixed slots "
            f"right, {_percent(halves.free_consistent)} of {halves.num_free:,} free ones consistent"
        )
    print_with(table, remarks)


def _print_curve(curve: "GuidanceCurve") -> None:
    table = new_table(
        f"Images of {curve.num_pairs:,} captions by guidance",
        *("Guidance", "Right", "95% interval", "Diversity"),
    )
    for point in curve.points:
        right = point.images.right.consistent
        interval = f"{right.low:.3f} to {right.high:.3f}"
        diversity = _percent(point.images.diversity)
        table.add_row(f"{point.guidance:g}", f"{right.rate:.3f}", interval, diversity)
    print_with(table, [f"Real pairs before the same judge: {curve.ceiling.consistent.rate:.3f}"])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _kind_share(score: "ConsistencyScore", kind: str) -> str:
    consistent = score.kinds[kind].consistent
    return "–" if consistent is None else f"{consistent.rate:.3f}"
