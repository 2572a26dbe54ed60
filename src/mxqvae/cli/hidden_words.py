"""`mxqvae evaluate hidden-words`: whether words that are hidden come back."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import Changes, IntOrNone, PathOrNone, TextOrNone, at_least
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.hidden_words import HiddenWordsFound


def hidden_words(
    *,
    data: Path,
    num: int = 200,
    seed: int = 0,
    weights: TextOrNone = None,
    changes: Changes = (),
    processes: IntOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Hide the words of one slot of each right caption, and find them again: digit and colour, or a colour.

    Args:
        data: Folder of Degree sets, which `mxqvae data degree` builds, or `data colour-degree` of photos.
        num: Pairs of each kind, the first ones; all of a kind with fewer.
        seed: Seed of the answers.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        changes: Another value for a field of the search, as for `mxqvae complete`.
        processes: Processes that share the work; without it, from 20 answers on one for each core, else one.
            The figures are the same.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(1, num=num, processes=processes)
    at_least(0, seed=seed)

    from mxqvae.config import override
    from mxqvae.data.degree import kinds_in
    from mxqvae.device import find_device
    from mxqvae.evaluation.hidden_words import measure_hidden_words
    from mxqvae.generation.completion import DEFAULT_COMPLETION
    from mxqvae.generation.parallel import FEW_ANSWERS, fitting_processes
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import progress_beside

    config = override(DEFAULT_COMPLETION, changes)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS).to(find_device())
    found = measure_hidden_words(
        generator,
        data,
        num=num,
        seed=seed,
        config=config,
        num_processes=processes or fitting_processes(generator, num * len(kinds_in(data)), FEW_ANSWERS),
        progress=progress_beside(json=json),
    )
    figures = {"kinds": {kind: dataclasses.asdict(one) for kind, one in found.items()}}
    give_out(figures, lambda: _print_table(found), out=out, json=json)


def _print_table(found: "dict[str, HiddenWordsFound]") -> None:
    table = new_table(
        "Hidden words that come back",
        "Kind",
        *("Pairs", "Completed", "Stage 1 alone", "Without the image", "Commonest"),
    )
    for kind, one in found.items():
        shares = (one.completed.rate, one.read.rate, one.read_without_image.rate, one.commonest)
        table.add_row(kind, f"{one.num_pairs:,}", *(f"{share:.3f}" for share in shares))
    print_with(table, [])
