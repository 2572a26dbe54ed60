"""`mxqvae evaluate consistency`: how many sampled pairs agree with themselves."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mxqvae.cli.arguments import PathOrNone
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from rich.table import Table

    from mxqvae.evaluation.consistency import Bounds, ConsistencyScore, Proportion

NONE_PARSES = "; give samples of Caption MNIST, the judge knows no others"


def consistency(
    samples: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SAMPLES")],
    *,
    judge: PathOrNone = None,
    data: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Score how many pairs agree with themselves: the image as the judge reads it, the caption as it says.

    Args:
        samples: Folder that `mxqvae sample` wrote.
        judge: Folder that `mxqvae train judge` wrote; without it, the shipped judge.
        data: Folder of Caption MNIST, whose test pairs give ceiling and floor.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.consistency import measure_bounds, score_consistency
    from mxqvae.evaluation.judge import SHIPPED_JUDGE, Judge
    from mxqvae.generation.sample_folder import read_sample_folder

    reader = Judge.from_pretrained(judge or SHIPPED_JUDGE)
    images, captions = read_sample_folder(samples)
    test_pairs = None if data is None else PairDataset.from_parquet(data, "test")
    score = score_consistency(torch.from_numpy(images), captions, reader)
    bounds = None if test_pairs is None else measure_bounds(test_pairs.images, test_pairs.captions, reader)

    accuracy = reader.record.test_accuracy
    figures = _figures(score, bounds, accuracy)
    give_out(figures, lambda: _print_table(score, bounds, accuracy), out=out, json=json)


def _figures(score: "ConsistencyScore", bounds: "Bounds | None", judge_accuracy: float) -> dict[str, Any]:
    """All figures as a tree, under the names of `results.Table2Figures`."""
    figures: dict[str, Any] = {"samples": dataclasses.asdict(score), "judge_accuracy": judge_accuracy}
    if bounds is not None:
        figures |= {name: dataclasses.asdict(bound) for name, bound in bounds._asdict().items()}
    return figures


def _print_table(score: "ConsistencyScore", bounds: "Bounds | None", judge_accuracy: float) -> None:
    print_with(
        _table(score, bounds),
        [
            f"Captions that parse: {score.parsed.rate:.2%}" + ("" if score.parsed.rate else NONE_PARSES),
            f"Shares of the kinds: within {100 * score.largest_share_gap:.1f} points of the training data's",
            f"The judge on MNIST's test digits: {judge_accuracy:.2%} right",
        ],
    )


def _table(score: "ConsistencyScore", bounds: "Bounds | None") -> "Table":
    all_bounds = () if bounds is None else bounds
    table = new_table(
        "Pairs whose image and caption agree",
        "Kind",
        *("Pairs", "Agree", "95% interval", "Slots", *("Ceiling", "Floor")[: len(all_bounds)]),
    )
    for name, kind in score.kinds.items():
        table.add_row(
            name,
            f"{kind.num_pairs:,}",
            *_cells(kind.consistent),
            "–" if kind.slots is None else f"{kind.slots.slot:.3f}",
            *(_cells(bound.kinds[name].consistent)[0] for bound in all_bounds),
        )
    table.add_section()
    table.add_row(
        "Average", "", _share(score.average), "", "", *(_share(bound.average) for bound in all_bounds)
    )
    table.add_row(
        "All pairs",
        f"{score.num_pairs:,}",
        *_cells(score.consistent),
        f"{score.slots.slot:.3f}",
        *(_cells(bound.consistent)[0] for bound in all_bounds),
        style="bold",
    )
    return table


def _cells(proportion: "Proportion | None") -> tuple[str, str]:
    if proportion is None:
        return "–", ""
    return _share(proportion.rate), f"{proportion.low:.3f} to {proportion.high:.3f}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"
