"""`mxqvae evaluate correlation`: whom stage 1 believes where the caption lies about its image."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import IntOrNone, PathOrNone, TextOrNone, at_least, writes
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from rich.table import Table

    from mxqvae.evaluation.correlation import CorrelationScore


def correlation(
    *,
    data: Path,
    weights: TextOrNone = None,
    num: IntOrNone = None,
    out: PathOrNone = None,
    plot: PathOrNone = None,
    sheet: PathOrNone = None,
    json: bool = False,
) -> None:
    """Count the digits and colours of a caption that stage 1 repeats although the image shows others.

    Args:
        data: Folder of Degree sets, which `mxqvae data degree` builds, or `data colour-degree` of photos.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        num: Pairs of each kind, the first ones; without it, all.
        out: JSON file to write all figures to.
        plot: PNG file to draw score against degree in; needs `pip install 'mxqvae[plots]'`.
        sheet: PNG file to draw one image under captions of each degree in, and what comes back.
        json: Print all figures as JSON.
    """
    at_least(1, num=num)
    writes("PNG", ".png", plot=plot, sheet=sheet)
    if plot is not None:
        import mxqvae.evaluation.correlation_plot  # noqa: F401 - missed now, not when minutes are spent

    from mxqvae.evaluation.correlation import poster_rows_of, score_correlation
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, find_weights, load_autoencoder, load_tokenizer
    from mxqvae.progress import progress_beside
    from mxqvae.report.markdown import OUR_ROW

    folder = find_weights(weights or SHIPPED_WEIGHTS)
    autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
    progress = progress_beside(json=json)
    score = score_correlation(autoencoder, tokenizer, data, num=num, progress=progress)
    poster = {row: shares for row, shares in poster_rows_of(data).items() if row == OUR_ROW}

    if plot is not None:
        from mxqvae.evaluation.correlation_plot import write_correlation_plot

        write_correlation_plot(plot, {"this model": score}, poster)
    if sheet is not None:
        from mxqvae.evaluation.degree_sheet import write_degree_sheet

        write_degree_sheet(sheet, data, autoencoder, tokenizer)
    give_out(dataclasses.asdict(score), lambda: _print_table(score, poster), out=out, json=json)


def _print_table(score: "CorrelationScore", poster: Mapping[str, Sequence[float]]) -> None:
    others = [degree.other_words for kind in score.kinds.values() for degree in kind.degrees]
    print_with(
        _table(score, poster),
        [
            "Words: slot words of the edited caption that come back. Slots: all words of a slot do.",
            "Slots of the image: they come back as is true of the image, not as the caption says.",
            "Distance: from the ideal line, mean over the degrees.",
            f"Other words of the captions that come back: {min(others):.2%} to {max(others):.2%}",
        ],
    )


def _table(score: "CorrelationScore", poster: Mapping[str, Sequence[float]]) -> "Table":
    from mxqvae.evaluation.correlation import POSTER_KIND, mean_distance

    most = max(len(kind.degrees) for kind in score.kinds.values())
    degrees = map(str, reversed(range(most)))
    table = new_table("What comes back, by degree", "Kind", *degrees, "Distance")
    for name, kind in score.kinds.items():
        ideal = [degree.ideal for degree in kind.degrees]
        rows = {
            f"{name}, words": [*(degree.words.mean for degree in kind.degrees), kind.word_distance],
            f"{name}, slots": [*(degree.slots.mean for degree in kind.degrees), kind.slot_distance],
            "  ideal": ideal,
        }
        if name == POSTER_KIND:
            rows |= {
                f"  {row}, poster": [*shares, mean_distance(shares, ideal)] for row, shares in poster.items()
            }
        rows["  slots of the image"] = [degree.image_slots.mean for degree in kind.degrees]
        blank = [""] * (most - len(kind.degrees))
        for label, shares in rows.items():
            table.add_row(label, *blank, *(f"{share:.3f}" for share in shares))
        table.add_section()
    return table
