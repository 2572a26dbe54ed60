"""`mxqvae evaluate likelihood`: the bits of real pairs under both stages."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, TextOrNone, writes
from mxqvae.cli.figures import give_out, new_table, print_with
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.evaluation.likelihood import LikelihoodScore


def likelihood(
    *,
    data: Path,
    split: str = "test",
    weights: TextOrNone = None,
    table: PathOrNone = None,
    sheet: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Measure the bits that the codes of real pairs cost under the prior, and their words under stage 1.

    The fewer bits, the likelier. Bits of codes can be compared between models of the same stage 1 alone.

    Args:
        data: Folder of the data set that the model was trained on.
        split: Split to measure; pairs of which a half is not known are left out.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        table: Parquet file to write with a row for each pair: its number, caption, bits of the image's codes,
            of the caption's codes, and of the words; and those of each code and each word.
        sheet: PNG file to draw the first pairs in, the bits of their codes in their places.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    writes("parquet", ".parquet", table=table)
    writes("PNG", ".png", sheet=sheet)

    from mxqvae.autoencoder.mxqvae import MXQVAE
    from mxqvae.data.pairs import PairDataset
    from mxqvae.device import find_device
    from mxqvae.encoding import encode_pairs
    from mxqvae.evaluation.likelihood import (
        image_positions_of,
        measure_likelihood,
        measure_pairs,
        score_likelihood,
        write_likelihood_table,
    )
    from mxqvae.evaluation.likelihood_sheet import write_likelihood_sheet
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.progress import progress_beside

    progress = progress_beside(json=json)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS)
    positions = image_positions_of(generator.autoencoder.config)
    pairs = PairDataset.from_parquet(data, split).whole()
    if isinstance(generator.autoencoder, MXQVAE):
        measured = measure_pairs(generator.to(find_device()), pairs, progress=progress)
        score = score_likelihood(measured, positions)
        if table is not None:
            write_likelihood_table(table, pairs.captions, measured, positions)
        if sheet is not None:
            write_likelihood_sheet(sheet, generator, pairs, measured)
    elif table is None and sheet is None:
        indices = encode_pairs(generator.autoencoder, generator.tokenizer, pairs, progress=progress)
        score = measure_likelihood(generator.prior, indices, positions, progress=progress)
    else:
        raise MxqvaeError(
            "--table and --sheet need a joint autoencoder, which gives words bits; leave them out"
        )
    give_out(dataclasses.asdict(score), lambda: _print_table(score, split), out=out, json=json)


def _print_table(score: "LikelihoodScore", split: str) -> None:
    table = new_table(
        f"Bits of {score.num_pairs:,} {split} pairs",
        *("Codes", "Number", "Bits a pair", "Standard error", "Bits a code"),
    )
    for name, bits, style in (
        ("Image", score.image_codes, ""),
        ("Text", score.text_codes, ""),
        ("All", score.all_codes, "bold"),
    ):
        error = _figure(bits.standard_error)
        table.add_row(
            name, f"{bits.num_codes}", f"{bits.per_pair:.2f}", error, f"{bits.per_code:.3f}", style=style
        )
    if score.words is not None:
        words = score.words
        table.add_section()
        table.add_row(
            "Words, given all codes", "", f"{words.per_pair:.2f}", _figure(words.standard_error), ""
        )
    print_with(table, [])


def _figure(bits: float | None) -> str:
    return "–" if bits is None else f"{bits:.2f}"
