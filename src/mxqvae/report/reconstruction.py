"""Reconstruction of test images, the paper's image loss beside a perceptual one."""

from collections.abc import Sequence

from mxqvae.report.markdown import ABSENT, OUR_ROW, Lines, render_table, row_label
from mxqvae.results import ReconstructionResult

ROWS = (OUR_ROW,)
"""Whose stage 1 is measured."""
HEADER = ("Set", "Pixels", "Recipe", "Seed", "Image loss", "Images", "PSNR, dB", "SSIM", "Frechet distance")
NOT_MEASURED = "not measured: see `mxqvae reproduce reconstruction`"
FOOTNOTE = (
    "¹ The perceptual loss reads early layers of the network in whose last one the distance is taken, which "
    "favours it there. PSNR and SSIM read no network."
)


def reconstruction_lines(results: Sequence[ReconstructionResult]) -> Lines:
    """The lines under `HEADER`, by set, size and weight of the perceptual loss."""
    if not results:
        return [(NOT_MEASURED, *[ABSENT] * (len(HEADER) - 1))]
    ordered = sorted(
        results, key=lambda run: (run.data_set, run.image_size, run.perceptual_weight, run.recipe, run.seed)
    )
    return [_cells(run) for run in ordered]


def render_reconstruction(results: Sequence[ReconstructionResult]) -> str:
    """The table in Markdown, and what its distances are measured in."""
    parts = [render_table(HEADER, reconstruction_lines(results))]
    spaces = sorted({run.figures.feature_space for run in results})
    parts += [f"Frechet distance: squared, in {space}." for space in spaces]
    if any(run.perceptual_weight for run in results):
        parts.append(FOOTNOTE)
    return "\n\n".join(parts)


def _cells(run: ReconstructionResult) -> tuple[str, ...]:
    weight, figures = run.perceptual_weight, run.figures
    distance = f"{figures.reconstructed.frechet_distance:.2f}"
    return (
        row_label(run.data_set),
        str(run.image_size),
        f"`{run.recipe}`",
        str(run.seed),
        f"squared error + {weight:g} · perceptual" if weight else "squared error (the paper's)",
        f"{figures.num_images:,}",
        f"{figures.psnr:.2f}",
        f"{figures.ssim:.3f}",
        f"{distance} ¹" if weight else distance,
    )
