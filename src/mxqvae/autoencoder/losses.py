"""The losses of stage 1, whatever it is made of, and the figures that its log is made of.

K codes of a codebook.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.autoencoder.quantizer import Quantized, codebook_perplexity


class AutoencoderLosses(NamedTuple):
    """Scalars of one batch; `usage` is (K). Summed over steps, they are read by the model's `summarise`."""

    total: Tensor
    """What training minimises."""
    image: Tensor
    """Mean squared error in normalised space."""
    perceptual: Tensor
    """Perceptual loss, unweighted; zero where its weight is."""
    caption: Tensor
    """Cross-entropy, nats a word."""
    codebook: Tensor
    """Codebook loss."""
    commitment: Tensor
    """Commitment loss, unweighted."""
    words_right: Tensor
    """Share of words whose most likely reconstruction is right."""
    usage: Tensor
    """How often each code was chosen."""


def total_losses(
    quantized: Quantized,
    num_codes: int,
    commitment_weight: float,
    *,
    image: Tensor | None = None,
    caption: Tensor | None = None,
    words_right: Tensor | None = None,
    perceptual: Tensor | None = None,
    perceptual_weight: float = 0.0,
) -> AutoencoderLosses:
    """Image, caption, codebook and weighted commitment loss (official code), and the perceptual one.

    Args:
        image: As in `AutoencoderLosses`, like those after it; zero where a model does not read the modality.
    """
    nothing = quantized.commitment_loss.new_zeros(())
    image = nothing if image is None else image
    caption = nothing if caption is None else caption
    perceptual = nothing if perceptual is None else perceptual
    commitment = commitment_weight * quantized.commitment_loss
    return AutoencoderLosses(
        total=image + caption + quantized.codebook_loss + commitment + perceptual_weight * perceptual,
        image=image,
        perceptual=perceptual,
        caption=caption,
        codebook=quantized.codebook_loss,
        commitment=quantized.commitment_loss,
        words_right=nothing if words_right is None else words_right,
        usage=torch.bincount(quantized.indices.flatten(), minlength=num_codes),
    )


def mean_losses(sums: AutoencoderLosses, num_steps: int) -> dict[str, float]:
    """The scalars of losses summed over `num_steps` steps, as means by name."""
    return {name: float(value) / num_steps for name, value in sums._asdict().items() if name != "usage"}


def codebook_figures(usage: Tensor) -> dict[str, float]:
    """The health of a codebook, from how often each code was chosen (K)."""
    perplexity, num_dead = codebook_perplexity(usage.float()), (usage == 0).sum()
    return {"codebook_perplexity": float(perplexity), "dead_codes": int(num_dead)}
