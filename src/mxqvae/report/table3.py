"""Table 3, captions against those of similar real images: the poster's rows, and ours on the sets at hand."""

from collections.abc import Iterator, Sequence

from mxqvae.evaluation.similarity import SimilarityScore
from mxqvae.report.markdown import ABSENT, Lines, ours_label, render_table, row_label, share_cell
from mxqvae.results import PairsUsed, Table3Result

BASELINE_ROW = "Joint GAN + MMVAE"
POSTER: dict[str, dict[str, tuple[float, ...]]] = {
    "Flower": {
        BASELINE_ROW: (0.324, 0.808, 0.788, 0.774),
        "MXQ-VAE": (0.428, 0.941, 0.926, 0.916),
    },
    "CUB": {"MXQ-VAE": (0.478, 0.948, 0.919, 0.900)},
}
"""Set → row → unigram precision, sentence similarity top-1, top-5, top-10 (poster of BMVC 2022, Table 3)."""
ROWS = tuple(POSTER["Flower"])
NOT_MEASURED = {
    "Flower": "not measured: needs all of Reed et al.'s captions, see `mxqvae data flowers102`",
    "CUB": "not measured: needs Reed et al.'s captions, see `mxqvae data cub200`",
}
HEADER = ("Set", "Model", "", "Unigram precision", "Top-1", "Top-5", "Top-10")


def table3_lines(results: Sequence[Table3Result]) -> Lines:
    """The lines of Table 3 under `HEADER`: the poster's sets, then ours by name."""
    lines: Lines = []
    for data_set in [*POSTER, *sorted({run.data_set for run in results} - POSTER.keys())]:
        poster = POSTER.get(data_set, {})
        runs = [run for run in results if run.data_set == data_set]
        for row in ROWS:
            if row in poster:
                lines.append((data_set, row_label(row), "poster", *map(share_cell, poster[row])))
            of_row = [run for run in runs if run.row == row]
            lines += [line for run in of_row for line in _lines_of_ours(run, of_row)]
        if runs:
            lines += _lines_of_bounds(runs[0])
            sets = dict.fromkeys(run.pairs for run in runs)
            lines += [(row_label(data_set), "Pairs used", _describe(pairs), *[""] * 4) for pairs in sets]
        else:
            lines.append((data_set, "", NOT_MEASURED[data_set], *[ABSENT] * 4))
    return lines


def render_table3(results: Sequence[Table3Result]) -> str:
    """Table 3 in Markdown."""
    return render_table(HEADER, table3_lines(results))


def _lines_of_ours(run: Table3Result, runs: Sequence[Table3Result]) -> Iterator[tuple[str, ...]]:
    samples, ceiling, floor = run.figures.samples, run.figures.ceiling, run.figures.floor
    label = ours_label(run.row, run.seed, len({other.seed for other in runs}))
    if run.row != BASELINE_ROW and len({other.recipe for other in runs}) > 1:
        label += f", `{run.recipe}`"
    name = row_label(run.data_set)
    yield (name, row_label(run.row), label, *map(share_cell, _figures(samples)))
    # Floor 0, ceiling 1: what a caption says of its image, of what a real one does.
    bounds = zip(_figures(samples), _figures(floor), _figures(ceiling), strict=True)
    ways = [share_cell((own - low) / (high - low)) if high > low else ABSENT for own, low, high in bounds]
    yield (name, "", "on the way from floor to ceiling", *ways)


def _lines_of_bounds(run: Table3Result) -> Iterator[tuple[str, ...]]:
    figures = run.figures
    name = row_label(run.data_set)
    yield (name, "Real pairs", "ceiling", *map(share_cell, _figures(figures.ceiling)))
    yield (name, "Real images, captions shuffled", "floor", *map(share_cell, _figures(figures.floor)))


def _describe(pairs: PairsUsed) -> str:
    text = (
        f"{pairs.num_training_images:,} training images, {pairs.captioned_share:.0%} of them with a caption, "
        f"{pairs.num_training_captions:,} captions; {pairs.num_test_images:,} test images with a caption; "
        f"{pairs.image_size} px"
    )
    return text if pairs.pairing_note is None else f"{text}. {pairs.pairing_note}"


def _figures(score: SimilarityScore) -> tuple[float, ...]:
    return score.unigram_precision, score.top_1, score.top_5, score.top_10
