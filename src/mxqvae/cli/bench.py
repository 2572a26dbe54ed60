"""`mxqvae bench`: the claims about speed, measured here and now."""

import dataclasses
import json as json_format
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from mxqvae.bench import Comparison

BATCH_SIZE, NUM_REPEATS = 64, 15
QUICK_BATCH_SIZE, QUICK_NUM_REPEATS = 2, 1


def bench(*, quick: bool = False, json: bool = False) -> None:
    """Measure what the project claims about its speed on a CPU, each time against another way to do the same.

    Takes minutes. Rates depend on what else the machine does, ratios hardly. OMP_NUM_THREADS limits threads.

    Args:
        quick: One repeat of small batches, only to see that all of it runs.
        json: Print all figures as JSON.
    """
    import torch

    from mxqvae.bench import contests, measure
    from mxqvae.progress import progress_beside
    from mxqvae.provenance import describe_hardware, list_versions

    batch_size, num_repeats = (QUICK_BATCH_SIZE, QUICK_NUM_REPEATS) if quick else (BATCH_SIZE, NUM_REPEATS)
    progress = progress_beside(json=json)
    comparisons = []
    todo = contests(batch_size)
    with progress.task("bench", total=len(todo), unit="comparisons") as advance:
        for contest in todo:
            comparisons.append(measure(contest, num_repeats))
            advance()

    hardware, num_threads = describe_hardware(torch.device("cpu")), torch.get_num_threads()
    if json:
        figures = {
            "hardware": hardware,
            "num_threads": num_threads,
            "versions": list_versions(),
            "batch_size": batch_size,
            "num_repeats": num_repeats,
            "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
        }
        print(json_format.dumps(figures, indent=2))
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(comparisons))
        print(f"{hardware}; threads: {num_threads}, batch size: {batch_size}, repeats: {num_repeats}")


def _table(comparisons: "Sequence[Comparison]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        title="Rates, and ours over the reference's",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("Work: ours over reference")
    for header in ("Unit", "Ours", "Reference", "Ratio", "Quartiles"):
        table.add_column(header, justify="right", no_wrap=True)
    for comparison in comparisons:
        table.add_row(
            comparison.name,
            comparison.unit,
            _figure(comparison.ours),
            _figure(comparison.reference),
            f"{comparison.ratio:.2f}",
            f"{comparison.ratio_low:.2f}–{comparison.ratio_high:.2f}",
        )
    return table


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
