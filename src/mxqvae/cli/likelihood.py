"""`mxqvae evaluate likelihood`: the bits of real test pairs under stage 2."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, TextOrNone
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.likelihood import LikelihoodScore


def likelihood(
    *,
    data: Path,
    weights: TextOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Measure the bits that the codes of real test pairs cost under the prior.

    Bits of codes: models with different autoencoders can be compared only with their reconstructions at hand.

    Args:
        data: Folder of the data set that the model was trained on.
        weights: Model folder, or a hub repository such as user/name; without it, the shipped weights.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.likelihood import image_positions_of, measure_likelihood
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import NoProgress, progress_on
    from mxqvae.stages import encode_pairs

    progress = NoProgress() if json else progress_on()
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS)
    pairs = PairDataset.from_parquet(data, "test").whole()
    indices = encode_pairs(generator.autoencoder, generator.tokenizer, pairs, progress=progress)
    positions = image_positions_of(generator.autoencoder.config)
    score = measure_likelihood(generator.prior, indices, positions, progress=progress)
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "LikelihoodScore") -> None:
    table = new_table(
        f"Bits of {score.num_pairs:,} test pairs' codes",
        *("Codes", "Number", "Bits a pair", "Standard error", "Bits a code"),
    )
    for name, bits, style in (
        ("Image", score.image_codes, ""),
        ("Text", score.text_codes, ""),
        ("All", score.all_codes, "bold"),
    ):
        error = "–" if bits.standard_error is None else f"{bits.standard_error:.2f}"
        table.add_row(
            name, f"{bits.num_codes}", f"{bits.per_pair:.2f}", error, f"{bits.per_code:.3f}", style=style
        )
    print_with(table, [])
