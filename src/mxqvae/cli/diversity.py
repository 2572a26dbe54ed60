"""`mxqvae evaluate diversity`: how much of the data's variety sampled captions have."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mxqvae.cli.arguments import PathOrNone
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.diversity import DiversityScore


def diversity(
    samples: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SAMPLES")],
    *,
    data: Path,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Count the different slot configurations that sampled captions name, beside as many training captions.

    Args:
        samples: Folder that `mxqvae sample` wrote.
        data: Folder of Caption MNIST.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.diversity import measure_diversity
    from mxqvae.generation.sample_folder import read_sample_captions

    captions = read_sample_captions(samples)
    score = measure_diversity(captions, PairDataset.from_parquet(data, "train").captions)
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "DiversityScore") -> None:
    samples, real = score.samples, score.real
    table = new_table(
        "Different slot configurations",
        "Kind",
        *("Captions", "Different", "Uniform draws", "Real captions", "Different", "Uniform draws"),
    )
    for name in samples.kinds:
        kinds = (samples.kinds[name], real.kinds[name])
        cells = [
            (f"{kind.num_captions:,}", f"{kind.distinct:,}", f"{kind.expected_distinct:,.1f}")
            for kind in kinds
        ]
        table.add_row(name, *cells[0], *cells[1])
    table.add_section()
    expected = f"{score.expected_distinct:,.1f}"
    cells = [(f"{each.num_captions:,}", f"{each.distinct:,}", expected) for each in (samples, real)]
    table.add_row("All", *cells[0], *cells[1], style="bold")
    print_with(
        table,
        [
            f"Captions that parse: {samples.num_parsed / samples.num_captions:.2%}",
            "Total variation distance from uniform (in brackets that of the real captions):",
            f"  positions {_distance(samples.position_distance)} ({_distance(real.position_distance)}), "
            f"digits {_distance(samples.digit_distance)} ({_distance(real.digit_distance)}), "
            f"colours {_distance(samples.colour_distance)} ({_distance(real.colour_distance)})",
        ],
    )


def _distance(distance: float | None) -> str:
    return "–" if distance is None else f"{distance:.4f}"
