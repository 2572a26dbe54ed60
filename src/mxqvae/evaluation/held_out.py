"""Real pairs that samples are held against: each image once, as samples have each image once."""

from mxqvae.data.pairs import PairDataset


def one_pair_per_image(pairs: PairDataset) -> PairDataset:
    """Each image with the first of its captions, in the order of the images' first pairs.

    Captions without an image are left out; an image without a caption keeps its empty one. Slots stay.
    """
    rows: dict[int, int] = {}
    for row, number in enumerate(pairs.image_numbers.tolist()):
        if number >= 0:
            rows.setdefault(number, row)
    slots = None if pairs.slots is None else [pairs.slots[row] for row in rows.values()]
    return PairDataset(pairs.images[list(rows)], [pairs.captions[row] for row in rows.values()], slots)
