"""What is given of a pair, and what of a whole pair stays when that is pasted over it.

P candidates, H and W pixels, L words, T codes of a pair, the image's first.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError


class KnownPart(NamedTuple):
    """The given part of one pair."""

    pair: PairBatch
    """One pair, NaN pixels and [MASK] words where it is not known."""
    patches: Tensor
    """(number of image codes,) bool: where at least half of the pixels that a code stands for are given."""
    runs: Tensor
    """(number of text codes,) bool: where at least one of the words that a code stands for is given."""

    @property
    def words(self) -> Tensor:
        """(L,) bool: the given words, [END] among them, padding not."""
        token_ids = self.pair.token_ids[0]
        return (token_ids != CaptionTokenizer.mask_id) & (token_ids != CaptionTokenizer.pad_id)

    @property
    def hides_pixels(self) -> bool:
        """Whether a pixel is to be found."""
        return bool(self.pair.images.isnan().any())

    @property
    def shows_nothing(self) -> bool:
        """Whether every pixel is to be found."""
        return bool(self.pair.images.isnan().all())

    @property
    def hides_words(self) -> bool:
        """Whether a word is to be found."""
        return bool((self.pair.token_ids == CaptionTokenizer.mask_id).any())

    @property
    def gives_words(self) -> bool:
        """Whether a word is given; [END] alone says how long a caption is, and nothing else."""
        return bool((self.pair.token_ids > CaptionTokenizer.end_id).any())

    def repeated(self, num: int) -> PairBatch:
        """The pair, `num` times."""
        return PairBatch(self.pair.images.expand(num, -1, -1, -1), self.pair.token_ids.expand(num, -1))

    def paste_over(self, pairs: PairBatch) -> PairBatch:
        """`pairs`, P of them, with every given pixel and word in its place, bit for bit."""
        images = self.pair.images
        return PairBatch(torch.where(images.isnan(), pairs.images, images), self.paste_words(pairs.token_ids))

    def paste_words(self, token_ids: Tensor) -> Tensor:
        """`token_ids` (P, L) with every given word in its place."""
        given = self.pair.token_ids
        return torch.where(given == CaptionTokenizer.mask_id, token_ids, given)


def known_part(pair: PairBatch, config: MXQVAEConfig) -> KnownPart:
    """What is given of one pair, in the codes of a model.

    Args:
        pair: A batch of one.

    Raises:
        MxqvaeError: It has another form, or all of it is given, or nothing.
    """
    size, length = config.image.image_size, config.caption_length
    if pair.images.shape != (1, 3, size, size) or pair.token_ids.shape != (1, length):
        raise MxqvaeError(
            f"a pair to complete needs an image of {size} x {size} pixels and {length} token ids, "
            f"got {tuple(pair.images.shape[1:])} and {tuple(pair.token_ids.shape[1:])}"
        )
    given = ~pair.images[0, 0].isnan()
    cell = config.image.cell_size
    patches = given.unflatten(1, (-1, cell)).unflatten(0, (-1, cell)).float().mean((1, 3)).flatten() >= 0.5
    known = KnownPart(pair, patches, torch.empty(0))
    num_runs = config.text.num_latents
    # Codes of a convolutional text encoder overlap; an even share of the words is nearest to each.
    run_of_word = torch.arange(length) * num_runs // length
    runs = torch.zeros(num_runs, dtype=torch.bool).index_put_((run_of_word[known.words],), torch.tensor(True))
    if not known.hides_pixels and not known.hides_words:
        raise MxqvaeError(
            "the whole pair is given, nothing is left to complete; hide a part of the image, or write [MASK] "
            "for words"
        )
    if known.shows_nothing and not known.gives_words:
        raise MxqvaeError("nothing of the pair is given; draw whole pairs with `mxqvae sample`")
    return known._replace(runs=runs)
