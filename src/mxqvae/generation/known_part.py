"""What is given of a pair, and what of a whole pair stays when that is pasted over it.

C candidates, H and W pixels, L words, I codes of the image.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.prior.conditioner import known_shares


class KnownPart(NamedTuple):
    """The given part of one pair."""

    pair: PairBatch
    """One pair, NaN pixels and [MASK] words where it is not known."""
    patches: Tensor
    """(I,) bool: where at least half of the pixels that a code stands for are given."""

    @property
    def tells_length(self) -> bool:
        """Whether the caption's end is given, so that every hidden token before it is a word."""
        return bool((self.pair.token_ids == CaptionTokenizer.end_id).any())

    def paste_over(self, pairs: PairBatch) -> PairBatch:
        """`pairs`, C of them, with every given pixel and word in its place, bit for bit."""
        images, token_ids = self.pair
        return PairBatch(
            torch.where(images.isnan(), pairs.images, images),
            torch.where(token_ids == CaptionTokenizer.mask_id, pairs.token_ids, token_ids),
        )


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
    hidden_pixels, hidden_words = pair.images.isnan(), pair.token_ids == CaptionTokenizer.mask_id
    if not hidden_pixels.any() and not hidden_words.any():
        raise MxqvaeError("the whole pair is given, nothing is left to complete; hide pixels or words")
    # [END] alone says how long a caption is, and nothing else.
    if hidden_pixels.all() and not (pair.token_ids > CaptionTokenizer.end_id).any():
        raise MxqvaeError("nothing of the pair is given; draw whole pairs with `mxqvae sample`")
    return KnownPart(pair, known_shares(pair.images, config.image.cell_size)[0] >= 0.5)
