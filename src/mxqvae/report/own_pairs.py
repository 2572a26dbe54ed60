"""Captioned images of any kind: how well sampled pairs fit, how new they are, and what stage 1 keeps."""

from collections.abc import Sequence

from mxqvae.report.markdown import ABSENT, OUR_ROW, Lines, render_table, row_label
from mxqvae.results import PairsResult

ROWS = (OUR_ROW,)
"""Whose pairs are measured."""
MEASURE = "Measure"
NOT_MEASURED = "not measured: see `mxqvae reproduce pairs`"


def pairs_header(results: Sequence[PairsResult]) -> tuple[str, ...]:
    """The measure, then a column for each run."""
    return (MEASURE, *(f"{row_label(run.data_set)}, `{run.recipe}`, seed {run.seed}" for run in results))


def pairs_lines(results: Sequence[PairsResult]) -> Lines:
    """A line for each measure under `pairs_header`."""
    if not results:
        return [(NOT_MEASURED,)]
    return list(zip(_MEASURES, *map(_cells, results), strict=True))


def render_pairs(results: Sequence[PairsResult]) -> str:
    """The table in Markdown."""
    return render_table(pairs_header(results), pairs_lines(results))


_MEASURES = (
    "Training images, test images",
    "Captions that find their image among 100: samples",
    "the same: real test pairs",
    "**samples over real pairs**",
    "captions dealt at random: samples' own",
    "the same: real test pairs'",
    "**Samples nearer to a training image than 95% of test images**",
    "than 95% of test images that stage 1 has encoded and decoded",
    "Copies of a training image, of 1,000 samples",
    "PSNR of test images after stage 1, dB",
    "SSIM of these",
    "Frechet distance of these from the images",
    "Frechet distance of samples from test images",
    "Bits of a test pair's codes: image + caption",
    "Bits of its words, given the codes",
)


def share_of_ceiling(run: PairsResult) -> float | None:
    """Samples' captions that find their image first over real ones; None where no real one does."""
    found = run.figures.retrieval
    return found.samples.recall_at_1 / found.ceiling.recall_at_1 if found.ceiling.recall_at_1 else None


def _cells(run: PairsResult) -> tuple[str, ...]:
    figures = run.figures
    found, memory, images = figures.retrieval, figures.memorization, figures.image_quality
    share, bits = share_of_ceiling(run), figures.likelihood
    return (
        f"{run.pairs.num_training_images:,}, {run.pairs.num_test_images:,}",
        f"{found.samples.recall_at_1:.3f}",
        f"{found.ceiling.recall_at_1:.3f}",
        ABSENT if share is None else f"**{share:.1%}**",
        f"{found.dealt_samples.recall_at_1:.3f}",
        f"{found.floor.recall_at_1:.3f}",
        f"**{memory.nearer_than_p05:.1%}**",
        ABSENT if memory.reconstructed is None else f"{memory.reconstructed.nearer_than_p05:.1%}",
        f"{1000 * memory.samples.num_copies / memory.num_samples:.0f}",
        f"{images.psnr:.2f}",
        f"{images.ssim:.3f}",
        f"{images.reconstructed.frechet_distance:.2f}",
        ABSENT if images.samples is None else f"{images.samples.frechet_distance:.2f}",
        f"{bits.all_codes.per_pair:.1f}: {bits.image_codes.per_pair:.1f} + {bits.text_codes.per_pair:.1f}",
        ABSENT if bits.words is None else f"{bits.words.per_pair:.2f}",
    )
