"""Scores pairs: what stage 1 has read of image and caption together, held against the caption that was given.

In training, the shipped stage 1 sees captions that lie, a word in seven replaced by a random one, beside
images that never do, and has to say what was true. So it repairs a caption that contradicts its image, and
a word that it repairs was wrong:

    bits(word) = -log2 p(word | codes of the pair)          score(pair) = sum over the words of bits(word)

A stage 1 that was trained without such words (`masking.random_word_share` 0, as in the recipes pairs-cpu,
photos-cpu, photos-paper and caption-mnist-paper) never had to repair anything; `has_seen_lies` tells. It can
be asked all the same, but what docs/audit.md measures need not hold for it. The recipes pairs-cpu-audit and
photos-cpu-audit train with them.

Words are not hidden from the encoder for this; docs/audit.md tells what hiding them costs. A word is
*doubted* where another one is likelier. Doubted words, and those that nearly are, are then hidden and read a
second time: what comes back, if it is still another word, is proposed in their place.

B pairs, H and W pixels, L tokens of a caption, V vocabulary, G cells of a side of the grid of image latents.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.audit.words import Word, find_words, replace_words
from mxqvae.autoencoder.kinds import Autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, find_weights, load_autoencoder, load_tokenizer

BLOCK_SIZE = 20
"""Pairs that pass through stage 1 at a time; a smaller block is filled up, so that it rounds the same."""
HIDDEN_FROM = -2.0
"""Bits by which another word must be likelier (below 0: may be less likely) for a word to be read again."""
CHANGED_FROM = 4.0
"""Bits by which another word must be likelier in both readings together to be proposed."""
WINDOW_SHARE = 1 / 2
"""Side of the window that is hidden for a heat map, as a share of the image's."""


class AuditedPair(NamedTuple):
    """What the audit says of one pair."""

    score: float
    """Bits of all words together, at least 0; the higher, the worse image and caption fit together."""
    words: list[Word]
    """The caption's words and marks, as far as the model reads them."""
    word_bits: list[float]
    """Bits of each of them, at least 0."""
    proposed_caption: str
    """The caption with the words that the image contradicts replaced; itself where there are none."""

    @property
    def worst_word(self) -> int | None:
        """The number of the word with the most bits; None where there are no words."""
        return max(range(len(self.words)), key=self.word_bits.__getitem__) if self.words else None


class PairAuditor:
    """Stage 1, in eval mode, and its tokenizer."""

    def __init__(self, autoencoder: Autoencoder, tokenizer: CaptionTokenizer) -> None:
        """Put the parts together.

        Raises:
            MxqvaeError: A stage 1 whose halves share nothing, which cannot hold one against the other.
        """
        if not isinstance(autoencoder, MXQVAE):
            raise MxqvaeError(
                "these weights encode image and caption apart; audit with a joint stage 1, mxqvae"
            )
        self.autoencoder, self.tokenizer = autoencoder.eval(), tokenizer

    @classmethod
    def from_pretrained(cls, weights: str | Path = SHIPPED_WEIGHTS) -> "PairAuditor":
        """Load a model folder or a hub repository; its prior is not needed.

        Raises:
            MxqvaeError: No such folder or repository, or a file that is missing or damaged.
        """
        folder = find_weights(weights)
        return cls(load_autoencoder(folder / "autoencoder"), load_tokenizer(folder))

    @property
    def image_size(self) -> int:
        """Height and width of the images that the model reads, in pixels."""
        return self.autoencoder.config.image.image_size

    @property
    def has_seen_lies(self) -> bool:
        """Whether captions had random words in training, which taught the model to believe the image."""
        masking = self.autoencoder.config.masking
        return masking is not None and masking.word_share > 0 and masking.random_word_share > 0

    def identity(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, value in self.autoencoder.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def audit(self, images: Tensor, captions: Sequence[str]) -> list[AuditedPair]:
        """Audit pairs; each by itself, whatever stands beside it.

        Args:
            images: (B, H, W, 3) uint8.
            captions: B captions.

        Raises:
            MxqvaeError: A caption that the tokenizer cannot encode, or images of another size.
        """
        if not captions:
            return []
        self._check_size(images)
        token_ids = self.tokenizer.encode(captions)
        located = self.tokenizer.locate(captions)
        words = [find_words(caption, spans) for caption, spans in zip(captions, located, strict=True)]
        bits, odds, _ = self._read(images, token_ids)
        again = _whole_words(odds > HIDDEN_FROM, words)
        proposed = token_ids.clone()
        doubted = (_whole_words(odds > 0, words)).any(1).nonzero()[:, 0]
        if len(doubted):
            hidden, given = again[doubted], token_ids[doubted]
            seen = given.masked_fill(hidden, self.tokenizer.mask_id)
            _, new_odds, best = self._read(images[doubted], seen, given)
            contradicted = hidden & (new_odds > 0) & (odds[doubted] + new_odds > CHANGED_FROM)
            # One letter of a word is not replaced without the others.
            changed = _whole_words(contradicted, [words[i] for i in doubted.tolist()])
            proposed[doubted] = torch.where(changed, best, given)
        return [
            self._audited(*pair)
            for pair in zip(captions, words, bits.tolist(), token_ids, proposed, strict=True)
        ]

    def heat_map(self, image: Tensor, caption: str) -> list[list[list[float]]]:
        """Which region contradicts which word: how many bits of the word go when the region is hidden.

        Args:
            image: (H, W, 3) uint8.

        Returns:
            For each word of the caption G rows of G bits, of which those below 0 vouch for the word.

        Raises:
            MxqvaeError: A caption that the tokenizer cannot encode, or an image of another size.
        """
        self._check_size(image)
        grid, cell = self.autoencoder.config.image.grid_size, self.autoencoder.config.image.cell_size
        side = max(1, round(grid * WINDOW_SHARE))
        corners = [(top, left) for top in range(grid - side + 1) for left in range(grid - side + 1)]
        windows = torch.zeros(1 + len(corners), grid, grid, dtype=torch.bool)  # the first hides nothing
        for window, (top, left) in zip(windows[1:], corners, strict=True):
            window[top : top + side, left : left + side] = True
        token_ids = self.tokenizer.encode([caption])
        bits = self._read(
            image.expand(len(windows), *image.shape),
            token_ids.expand(len(windows), -1),
            hidden=windows.repeat_interleave(cell, 1).repeat_interleave(cell, 2),
        )[0]
        relief = bits[:1] - bits[1:]
        covers = windows[1:].flatten(1).float()
        # A cell's heat is the mean of the windows that cover it.
        heat = (relief.T @ covers / covers.sum(0)).unflatten(1, (grid, grid))
        words = find_words(caption, self.tokenizer.locate([caption])[0])
        return [heat[word.tokens.start : word.tokens.stop].sum(0).tolist() for word in words]

    def caption_bits(self, captions: Sequence[str]) -> Tensor:
        """Bits (B,) of captions alone, the image hidden: what a language model would know of them."""
        token_ids = self.tokenizer.encode(captions)
        size = self.image_size
        images = torch.zeros(len(captions), size, size, 3, dtype=torch.uint8)
        return self._read(images, token_ids, hidden=torch.ones(len(captions), size, size, dtype=torch.bool))[
            0
        ].sum(1)

    def _check_size(self, images: Tensor) -> None:
        """Refuse images (..., H, W, 3) that the model does not read."""
        height, width = images.shape[-3:-1]
        size = self.image_size
        if (height, width) != (size, size):
            raise MxqvaeError(
                f"images of {width} x {height} pixels, these weights read {size} x {size}; resize the images "
                "or give other weights"
            )

    def _read(
        self, images: Tensor, token_ids: Tensor, given: Tensor | None = None, *, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode and decode pairs in blocks of one size.

        Args:
            images: (B, H, W, 3) uint8.
            token_ids: What the encoder sees, (B, L).
            given: What is judged, (B, L); by default the same.
            hidden: Pixels (B, H, W) that the encoder does not see; by default none.

        Returns:
            Each (B, L): the bits of the words of `given`, 0 where there are none; the bits by which another
            word is likelier, -inf where there are none; the likeliest such word.
        """
        given = token_ids if given is None else given
        parts = []
        for rows in torch.arange(len(token_ids)).split(BLOCK_SIZE):
            block = torch.cat([rows, rows[-1:].expand(BLOCK_SIZE - len(rows))])
            floats = to_floats(images[block])
            if hidden is not None:
                floats = floats.masked_fill(hidden[block][:, None], torch.nan)
            parts.append(
                [part[: len(rows)] for part in self._read_block(floats, token_ids[block], given[block])]
            )
        bits, odds, best = (torch.cat(some) for some in zip(*parts, strict=True))
        return bits, odds, best

    @torch.inference_mode()
    def _read_block(self, images: Tensor, token_ids: Tensor, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes = self.autoencoder.quantizer.lookup(self.autoencoder.encode(PairBatch(images, token_ids)))
        log_shares = self.autoencoder.decode_captions(codes).float().log_softmax(-1) / math.log(2)
        own = log_shares.gather(-1, given[..., None])
        others = log_shares.scatter(-1, given[..., None], -torch.inf)
        others[..., : len(SPECIAL_TOKENS)] = -torch.inf
        likeliest = others.max(-1)
        is_word = given >= len(SPECIAL_TOKENS)
        bits = (-own[..., 0]).masked_fill(~is_word, 0)
        odds = (likeliest.values - own[..., 0]).masked_fill(~is_word, -torch.inf)
        return bits, odds, likeliest.indices

    def _audited(
        self, caption: str, words: list[Word], bits: list[float], given: Tensor, proposed: Tensor
    ) -> AuditedPair:
        word_bits = [sum(bits[word.tokens.start : word.tokens.stop]) for word in words]
        changed = (given != proposed).tolist()
        replacements = {
            number: self.tokenizer.decode(proposed[None, word.tokens.start : word.tokens.stop])[0]
            for number, word in enumerate(words)
            if any(changed[word.tokens.start : word.tokens.stop])
        }
        return AuditedPair(sum(word_bits), words, word_bits, replace_words(caption, words, replacements))


def _whole_words(some: Tensor, words: Sequence[Sequence[Word]]) -> Tensor:
    """`some` (B, L) and all tokens of each word of which it has one."""
    whole = some.clone()
    for row, tokens in _long_words(words):
        whole[row, tokens] = some[row, tokens].any()
    return whole


def _long_words(words: Sequence[Sequence[Word]]) -> Iterator[tuple[int, slice]]:
    for row, row_words in enumerate(words):
        for word in row_words:
            if len(word.tokens) > 1:
                yield row, slice(word.tokens.start, word.tokens.stop)
