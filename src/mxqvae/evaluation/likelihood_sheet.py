"""A picture of likelihoods: where in its image a pair costs bits, and which of its words do.

N pairs, T codes of a pair, I of them the image's, L words.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.batch import to_bytes
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.likelihood import image_positions_of
from mxqvae.generation.contact_sheet import INK, PAPER, contact_sheet, write_picture
from mxqvae.generation.pair_fit import PairLikelihood
from mxqvae.generation.pipeline import PairGenerator

SHEET_PAIRS = 8
"""Pairs in the picture, the first ones."""
DEAR_WORD = 1.0
"""Bits above which those of a token stand behind it: stage 1 gives it less than even odds."""


def write_likelihood_sheet(
    path: Path, generator: PairGenerator, pairs: PairDataset, measured: PairLikelihood
) -> None:
    """Write `draw_likelihood` of the first pairs as a PNG file.

    Args:
        generator: Of a joint autoencoder.
        pairs: Whole ones, at least one.
        measured: What `generator` finds of them.
    """
    config = generator.autoencoder.config
    captions = pairs.captions[:SHEET_PAIRS]
    sheet = draw_likelihood(
        pairs.images[pairs.image_numbers[:SHEET_PAIRS]],
        captions,
        generator.tokenizer.locate(captions),
        PairLikelihood(*(bits[:SHEET_PAIRS] for bits in measured)),
        image_positions_of(config),
        num_codes=config.num_codes,
    )
    write_picture(path, sheet)


def draw_likelihood(
    images: Tensor,
    captions: Sequence[str],
    spans: Sequence[Sequence[tuple[int, int]]],
    measured: PairLikelihood,
    image_positions: slice,
    *,
    num_codes: int,
) -> Image.Image:
    """Draw pairs above and, below each, the bits of its image's codes in their places, from none to dark.

    As dark as ink is log2 `num_codes`, what a code costs that is as likely as any other.

    Args:
        images: (N, H, W, 3) uint8, N at least 1, square.
        captions: N.
        spans: Where each token of a caption stands in it, see `CaptionTokenizer.locate`.
        measured: Of the N pairs.
        image_positions: Which of the T codes are the image's, I in all, a square.
        num_codes: Codes of the codebook.

    Raises:
        MxqvaeError: No pairs.
    """
    if len(images) == 0:
        raise MxqvaeError("no pairs to draw; give at least one")
    is_image = torch.zeros(measured.code_bits.shape[1], dtype=torch.bool)
    is_image[image_positions] = True
    of_image, of_caption = measured.code_bits[:, is_image], measured.code_bits[:, ~is_image].sum(1)
    of_words = measured.word_bits.sum(1)
    under = [
        f"Image {image:.0f} bits, caption {caption:.0f}, words {word:.1f}"
        for image, caption, word in zip(
            of_image.sum(1).tolist(), of_caption.tolist(), of_words.tolist(), strict=True
        )
    ]
    priced = [
        _with_bits(caption, places, bits)
        for caption, places, bits in zip(captions, spans, measured.word_bits.tolist(), strict=True)
    ]
    maps = _maps(of_image, images.shape[1], most=math.log2(num_codes))
    return contact_sheet(np.concatenate([images.numpy(), maps]), [*priced, *under], columns=len(images))


def _maps(bits: Tensor, size: int, *, most: float) -> np.ndarray:
    """(N, size, size, 3) uint8 of bits (N, I) from paper to ink, each code a square."""
    side = math.isqrt(bits.shape[1])
    shade = (bits / most).clamp(0, 1).unflatten(1, (1, side, side))
    shade = torch.nn.functional.interpolate(shade, size=(size, size), mode="nearest")
    paper, ink = (torch.tensor(colour).view(3, 1, 1) / 255 for colour in (PAPER, INK))
    return to_bytes((paper + shade * (ink - paper)).float()).numpy()


def _with_bits(caption: str, spans: Sequence[tuple[int, int]], bits: Sequence[float]) -> str:
    """A caption with the bits of its dear tokens in brackets behind them."""
    # From the last on, so that places before stay what they are; the bits of [END] have no place.
    for (_, end), cost in reversed(list(zip(spans, bits, strict=False))):
        if cost > DEAR_WORD:
            caption = f"{caption[:end]} ({cost:.1f}){caption[end:]}"
    return caption
