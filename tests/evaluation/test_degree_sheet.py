from pathlib import Path

import numpy as np
from PIL import ImageChops

from mxqvae.data.degree import degrees_of, read_degree_set
from mxqvae.evaluation.degree_sheet import draw_reconstructions
from mxqvae.generation.contact_sheet import MARGIN, contact_sheet
from mxqvae.generation.pipeline import PairGenerator


def test_pairs_stand_above_what_comes_back(degree_sets_small: Path, tiny_generator: PairGenerator):
    sets = [read_degree_set(degree_sets_small, "Quad4", degree) for degree in degrees_of("Quad4")]
    image, captions = sets[0].images[3], [pairs.captions[3] for pairs in sets]
    sheet = draw_reconstructions(tiny_generator.autoencoder, tiny_generator.tokenizer, image, captions)

    images = image.numpy()[None].repeat(5, axis=0)
    returned = tiny_generator.decode(tiny_generator.encode(images, captions))
    labelled = [f"Degree {4 - i}: {caption}" for i, caption in enumerate(captions)]
    expected = contact_sheet(
        np.concatenate([images, returned.images]), [*labelled, *returned.captions], columns=5
    )
    assert ImageChops.difference(sheet, expected).getbbox() is None
    assert sheet.width == MARGIN + 5 * (192 + MARGIN)
