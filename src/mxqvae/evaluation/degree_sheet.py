"""A picture of Table 1: one image under captions of every degree, and what stage 1 makes of each pair."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mxqvae.data.batch import PairBatch, to_bytes, to_floats
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.evaluation.correlation import PairAutoencoder, reconstruct
from mxqvae.generation.contact_sheet import contact_sheet, write_picture


def write_degree_sheet(
    path: Path, folder: Path, autoencoder: PairAutoencoder, tokenizer: CaptionTokenizer
) -> None:
    """Write `draw_reconstructions` of the first pair with most slots in `folder`'s Degree sets as a PNG file.

    Raises:
        MxqvaeError: The folder holds no Degree sets, or words that the tokenizer lacks.
    """
    kind = kinds_in(folder)[-1]
    sets = [read_degree_set(folder, kind, degree) for degree in degrees_of(kind)]
    captions = [pairs.captions[0] for pairs in sets]
    sheet = draw_reconstructions(autoencoder, tokenizer, sets[0].images[0], captions)
    write_picture(path, sheet)


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
    returned_images = to_bytes(returned.images)
    labelled = [
        f"Degree {degree}: {caption}"
        for degree, caption in zip(reversed(range(len(captions))), captions, strict=True)
    ]
    return contact_sheet(
        torch.cat([images, returned_images]).numpy(),
        [*labelled, *tokenizer.decode(returned.token_ids)],
        columns=max(1, len(captions)),
    )
