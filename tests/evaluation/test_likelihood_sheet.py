from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.likelihood_sheet import draw_likelihood, write_likelihood_sheet
from mxqvae.generation.contact_sheet import INK, PAPER, contact_sheet
from mxqvae.generation.pair_fit import PairLikelihood
from mxqvae.generation.pipeline import PairGenerator

CAPTION = "Two dogs."
SPANS = [(0, 3), (4, 8), (8, 9)]


def measured(code_bits: list[float], word_bits: list[float]) -> PairLikelihood:
    return PairLikelihood(
        torch.tensor([code_bits], dtype=torch.float64), torch.tensor([word_bits], dtype=torch.float64)
    )


def test_codes_stand_in_their_places_from_paper_to_ink_and_dear_words_are_priced():
    image = torch.randint(256, (1, 8, 8, 3), dtype=torch.uint8)
    # Four codes of the image around one of the caption, of 8 in the codebook: 3 bits and more are ink.
    sheet = draw_likelihood(
        *(image, [CAPTION], [SPANS]),
        measured([7.0, 0.0, 3.0, 99.0, 0.0], [0.2, 2.25, 1.5, 0.0, 0.0]),
        slice(1, None),
        num_codes=8,
    )
    above, below = np.full((8, 8, 3), PAPER, np.uint8), np.full((8, 8, 3), PAPER, np.uint8)
    above[:, 4:] = below[:, :4] = INK
    expected = np.concatenate([above[:4], below[:4]])
    texts = ["Two dogs (2.2). (1.5)", "Image 102 bits, caption 7, words 4.0"]
    drawn = contact_sheet(np.stack([image[0].numpy(), expected]), texts, columns=1)
    assert ImageChops.difference(sheet, drawn).getbbox() is None


def test_the_bits_of_the_end_have_no_place():
    image = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    bits = measured([1.0, 1.0], [0.0, 0.0, 0.0, 9.0])
    sheet = draw_likelihood(image, [CAPTION], [SPANS], bits, slice(0, 1), num_codes=2)
    texts = [CAPTION, "Image 1 bits, caption 1, words 9.0"]
    maps = np.full((8, 8, 3), INK, np.uint8)
    drawn = contact_sheet(np.stack([image[0].numpy(), maps]), texts, columns=1)
    assert ImageChops.difference(sheet, drawn).getbbox() is None


def test_the_file_shows_the_first_pairs(
    tiny_generator: PairGenerator, caption_mnist_small: Path, tmp_path: Path
):
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    found = tiny_generator.likelihood(pairs.images[:10].numpy(), pairs.captions[:10])
    write_likelihood_sheet(tmp_path / "sheet.png", tiny_generator, pairs, found)
    expected = draw_likelihood(
        *(pairs.images[:8], pairs.captions[:8], tiny_generator.tokenizer.locate(pairs.captions[:8])),
        PairLikelihood(found.code_bits[:8], found.word_bits[:8]),
        slice(0, 4),
        num_codes=tiny_generator.autoencoder.config.num_codes,
    )
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert ImageChops.difference(drawn, expected).getbbox() is None


def test_messages():
    nothing = torch.zeros(0, 8, 8, 3, dtype=torch.uint8)
    bits = PairLikelihood(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(MxqvaeError, match="no pairs to draw; give at least one"):
        draw_likelihood(nothing, [], [], bits, slice(0, 1), num_codes=2)
