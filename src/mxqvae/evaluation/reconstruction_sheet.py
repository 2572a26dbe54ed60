"""A picture of Table 1: one image under captions of every degree, and what stage 1 makes of each pair."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.evaluation.correlation import PairAutoencoder, reconstruct
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.generation.pipeline import to_floats


def draw_reconstructions(
    autoencoder: PairAutoencoder, tokenizer: CaptionTokenizer, image: Tensor, captions: Sequence[str]
) -> Image.Image:
    """Draw pairs above, their reconstructions below.

    Args:
        tokenizer: The autoencoder's.
        image: (H, W, 3) uint8.
        captions: Of degree n, n - 1, ..., 0; as many columns.

    Raises:
        MxqvaeError: No captions, or one with words that the tokenizer lacks.
    """
    images = image.repeat(len(captions), 1, 1, 1)
    returned = reconstruct(autoencoder, PairBatch(to_floats(images), tokenizer.encode(captions)))
    returned_images = (returned.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    labelled = [
        f"Degree {degree}: {caption}"
        for degree, caption in zip(reversed(range(len(captions))), captions, strict=True)
    ]
    return contact_sheet(
        torch.cat([images, returned_images]).numpy(),
        [*labelled, *tokenizer.decode(returned.token_ids)],
        columns=max(1, len(captions)),
    )
