"""Scores pairs: what stage 1 has read of image and caption together, held against the caption that was given.

In training, the shipped stage 1 sees captions that lie, a word in seven replaced by a random one, beside
images that never do, and has to say what was true. So it repairs a caption that contradicts its image, and
a word that it repairs was wrong:

    bits(word) = -log2 p(word | codes of the pair)          score(pair) = sum over the words of bits(word)

A stage 1 that was trained without such words (`masking.random_word_share` 0, as in the recipes pairs-cpu,
photos-cpu, photos-paper and caption-mnist-paper) never had to repair anything; `has_seen_lies` tells. It can
be asked all the same, but what docs/audit.md measures need not hold for it. The recipes pairs-cpu-audit and
photos-cpu-audit train with them.

Words are not hidden from the encoder for this; docs/audit.md tells what hiding them costs. With weights that
were trained on the very captions that they audit it is another matter: where a share of these lies, they have
learned to hand such lies on. `hides_words` asks for each word without showing it, in several readings.

A word is *doubted* where another one is likelier; where words were hidden, if it costs many bits, since of a
lie that it has learned to expect a model knows the true word no better than the other wrong ones. Doubted
words, and those that nearly are, are then hidden together and read once more: what comes back, if it is still
another word, is proposed in their place.

B pairs, H and W pixels, L tokens of a caption, V vocabulary, G cells of a side of the grid of image latents.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mxqvae.audit.regions import Region, heat_map, region_of, windows_of
from mxqvae.audit.words import Word, find_words, in_turns, replace_words, whole_words, word_sums
from mxqvae.autoencoder.image import check_image_size, hide_unknown, normalise
from mxqvae.autoencoder.kinds import Autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import to_floats
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, find_weights, load_autoencoder, load_tokenizer

BLOCK_SIZE = 20
"""Pairs that pass through stage 1 at a time; a smaller block is filled up, so that it rounds the same."""
WINDOWS_AT_A_TIME = 26
"""Images with a hidden window that are read together: all of a model of 64 pixels."""
HIDDEN_FROM = -2.0
"""Bits by which another word must be likelier (below 0: may be less likely) for a word to be read again."""
CHANGED_FROM = 4.0
"""Bits by which another word must be likelier in both readings together to be proposed."""
UNLIKELY_FROM = 2.0
"""Bits that a word must cost to be doubted, where it was hidden."""
UNSURE_FROM = 1.5
"""Bits that others of the caption must then cost to be read again with it: each of two synonyms costs one."""
CHANGED_ALONE_FROM = 2.0
"""Bits by which another word must be likelier in the second reading, where the first hid it as well."""


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

    def __init__(
        self, autoencoder: Autoencoder, tokenizer: CaptionTokenizer, *, hides_words: bool = False
    ) -> None:
        """Put the parts together.

        Args:
            hides_words: Tell each word from the image and the other words, never from itself, at
                `WORDS_APART` times the cost: for weights trained on the captions that are audited, or that
                saw no lies.

        Raises:
            MxqvaeError: A stage 1 whose halves share nothing, which cannot hold one against the other; or
                one that never learned to do without words, and is to hide them.
        """
        if not isinstance(autoencoder, MXQVAE):
            raise MxqvaeError(
                "these weights encode image and caption apart and cannot audit; give weights of another "
                "recipe, such as pairs-cpu-audit"
            )
        self.autoencoder, self.tokenizer = autoencoder.eval(), tokenizer
        self.hides_words = hides_words
        if hides_words and not self.can_hide_words:
            raise MxqvaeError("these weights were trained with no word hidden; leave --hide-words out")

    @classmethod
    def from_pretrained(
        cls, weights: str | Path = SHIPPED_WEIGHTS, *, hides_words: bool = False
    ) -> "PairAuditor":
        """Load a model folder or a hub repository; its prior is not needed.

        Args:
            hides_words: As for `PairAuditor`.

        Raises:
            MxqvaeError: No such folder or repository, or a file that is missing or damaged.
        """
        folder = find_weights(weights)
        autoencoder, tokenizer = load_autoencoder(folder / "autoencoder"), load_tokenizer(folder)
        return cls(autoencoder, tokenizer, hides_words=hides_words)

    @property
    def image_size(self) -> int:
        """Height and width of the images that the model reads, in pixels."""
        return self.autoencoder.config.image.image_size

    @property
    def grid_size(self) -> int:
        """Cells of a side of the heat map, G."""
        return self.autoencoder.config.image.grid_size

    @property
    def can_hide_words(self) -> bool:
        """Whether words were hidden in training, without which the model cannot do without one."""
        masking = self.autoencoder.config.masking
        return masking is not None and masking.word_share > 0

    @property
    def has_seen_lies(self) -> bool:
        """Whether captions had random words in training, which taught the model to believe the image."""
        masking = self.autoencoder.config.masking
        return masking is not None and self.can_hide_words and masking.random_word_share > 0

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
            MxqvaeError: A caption that the tokenizer cannot encode, images of another size or type, or not
                as many images as captions.
        """
        if len(images) != len(captions):
            raise MxqvaeError(f"{len(images)} images and {len(captions)} captions; give one for each")
        if not captions:
            return []
        self._check_images(images)
        token_ids = self.tokenizer.encode(captions)
        words = self._find_words(captions)
        latents, numbers = self._encode_images(images)
        bits, odds = self._read_each_word(latents, numbers, token_ids, words)
        again, is_doubted = self._doubts(bits, odds, words)
        proposed = token_ids.clone()
        doubted = is_doubted.any(1).nonzero()[:, 0]
        if len(doubted):
            hidden, given = again[doubted], token_ids[doubted]
            seen = given.masked_fill(hidden, self.tokenizer.mask_id)
            _, new_odds, best = self._read(latents, numbers[doubted], seen, given)
            if self.hides_words:
                contradicted = hidden & (new_odds > CHANGED_ALONE_FROM)
            else:
                contradicted = hidden & (new_odds > 0) & (odds[doubted] + new_odds > CHANGED_FROM)
            # A word is replaced as a whole; pieces of it that are likeliest as they are stay.
            changed = whole_words(contradicted, [words[i] for i in doubted.tolist()]) & (new_odds > 0)
            proposed[doubted] = torch.where(changed, best, given)
        return [
            self._audited(*pair)
            for pair in zip(captions, words, bits.tolist(), token_ids, proposed, strict=True)
        ]

    @torch.inference_mode()
    def regions(self, image: Tensor, caption: str) -> list[Region]:
        """Which regions contradict which words: the pair with a window of the image hidden, at every place.

        Args:
            image: (H, W, 3) uint8.

        Returns:
            One for each window, in row-major order.

        Raises:
            MxqvaeError: A caption that the tokenizer cannot encode, or an image of another size or type.
        """
        self._check_images(image)
        cell = self.autoencoder.config.image.cell_size
        windows = windows_of(self.grid_size)
        hidden = torch.stack([torch.zeros_like(windows[0]), *windows])  # the first hides nothing
        pixels = hidden.repeat_interleave(cell, 1).repeat_interleave(cell, 2)
        floats = to_floats(image[None]).masked_fill(pixels[:, None], torch.nan)
        token_ids = self.tokenizer.encode([caption])
        (words,) = self._find_words([caption])
        _, seen, asked = self._questions(token_ids, [words])
        # They share the caption, and make the same blocks for every pair.
        text_latents = self.autoencoder.text_encoder(seen)
        blocks = []
        for block in floats.split(WINDOWS_AT_A_TIME):
            given, image_latents = token_ids.expand(len(block), -1), self._image_latents(block)
            total = torch.zeros(given.shape)
            for latents, some in zip(text_latents, asked, strict=True):
                log_shares = self._log_shares(image_latents, latents.expand(len(block), -1, -1))
                total += _bits(log_shares, given).masked_fill(~some, 0)
            blocks.append(total)
        bits = torch.cat(blocks)
        relief = (bits[:1] - bits[1:]).tolist()
        return [
            region_of(window, cell, [sum(some[word.tokens.start : word.tokens.stop]) for word in words])
            for window, some in zip(windows, relief, strict=True)
        ]

    def heat_map(self, image: Tensor, caption: str) -> list[list[list[float]]]:
        """Which region contradicts which word: how many bits of the word go when the region is hidden.

        Args:
            image: (H, W, 3) uint8.

        Returns:
            For each word of the caption G rows of G bits, of which those below 0 vouch for the word.

        Raises:
            MxqvaeError: A caption that the tokenizer cannot encode, or an image of another size or type.
        """
        return heat_map(self.regions(image, caption), self.grid_size)

    def caption_bits(self, captions: Sequence[str]) -> Tensor:
        """Bits (B,) of captions alone, their pseudo-likelihood: what can be known of them without an image.

        All of the image is hidden, and every `WORDS_APART`-th word of a caption in turn, so that each word is
        told from the others and never from itself.

        Raises:
            MxqvaeError: A caption that the tokenizer cannot encode, or weights that never did without a word.
        """
        if not self.can_hide_words:
            raise MxqvaeError("these weights were trained with no word hidden; what words cost is not known")
        token_ids, words = self.tokenizer.encode(captions), self._find_words(captions)
        rows, hidden = in_turns(words, token_ids.shape[1])
        given = token_ids[rows]
        no_image = torch.full((1, 3, self.image_size, self.image_size), torch.nan)
        bits, _, _ = self._read(
            self._image_latents(no_image),
            torch.zeros_like(rows),
            given.masked_fill(hidden, self.tokenizer.mask_id),
            given,
        )
        return torch.zeros(len(captions)).index_add_(0, rows, bits.masked_fill(~hidden, 0).sum(1))

    def _check_images(self, images: Tensor) -> None:
        """Refuse images (..., H, W, 3) that the model does not read."""
        if images.dtype != torch.uint8:
            raise MxqvaeError(f"images must be torch.uint8, 0 to 255, not {images.dtype}; convert them")
        height, width = images.shape[-3:-1]
        check_image_size(width, height, self.image_size)

    def _find_words(self, captions: Sequence[str]) -> list[list[Word]]:
        located = self.tokenizer.locate(captions)
        return [find_words(caption, spans) for caption, spans in zip(captions, located, strict=True)]

    def _encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Image latents (M, G·G, D) of `images` (B, H, W, 3) uint8, and which of them each image has (B).

        Equal images in a row, as those of several captions, are encoded once.
        """
        is_new = torch.ones(len(images), dtype=torch.bool)
        is_new[1:] = (images[1:] != images[:-1]).flatten(1).any(1)
        places = is_new.nonzero()[:, 0]
        latents = [
            self._image_latents(to_floats(images[places[block]]))[:num] for block, num in _blocks(len(places))
        ]
        return torch.cat(latents), is_new.cumsum(0) - 1

    def _questions(self, token_ids: Tensor, words: Sequence[Sequence[Word]]) -> tuple[Tensor, Tensor, Tensor]:
        """How captions (B, L) are shown to the encoder, once or in several turns.

        Returns:
            Which caption each turn shows, (R); what it shows, (R, L); and the words it asks for, (R, L) bool.
        """
        if not self.hides_words:
            return torch.arange(len(token_ids)), token_ids, torch.ones_like(token_ids, dtype=torch.bool)
        rows, hidden = in_turns(words, token_ids.shape[1])
        return rows, token_ids[rows].masked_fill(hidden, self.tokenizer.mask_id), hidden

    def _read_each_word(
        self, latents: Tensor, numbers: Tensor, token_ids: Tensor, words: Sequence[Sequence[Word]]
    ) -> tuple[Tensor, Tensor]:
        """Bits of each word, and bits by which another is likelier, each (B, L), as in `_read`."""
        rows, seen, asked = self._questions(token_ids, words)
        turn_bits, turn_odds, _ = self._read(latents, numbers[rows], seen, token_ids[rows])
        if not self.hides_words:
            return turn_bits, turn_odds
        turn, place = asked.nonzero(as_tuple=True)  # each word of a caption has one turn
        bits, odds = torch.zeros(token_ids.shape), torch.full(token_ids.shape, -torch.inf)
        bits[rows[turn], place] = turn_bits[asked]
        odds[rows[turn], place] = turn_odds[asked]
        return bits, odds

    def _doubts(self, bits: Tensor, odds: Tensor, words: Sequence[Sequence[Word]]) -> tuple[Tensor, Tensor]:
        """Which words are to be read again where some are doubted, and which are, each (B, L) bool."""
        if not self.hides_words:
            return whole_words(odds > HIDDEN_FROM, words), odds > 0
        costs = word_sums(bits, words)
        return costs > UNSURE_FROM, costs > UNLIKELY_FROM

    def _read(
        self, latents: Tensor, numbers: Tensor, token_ids: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode and decode pairs in blocks of one size.

        Args:
            latents: Of M images, (M, G·G, D).
            numbers: Which of them each pair has, (B).
            token_ids: What the encoder sees, (B, L).
            given: What is judged, (B, L).

        Returns:
            Each (B, L): the bits of the words of `given`, 0 where there are none; the bits by which another
            word is likelier, -inf where there are none; the likeliest such word.
        """
        if not len(given):
            return given.float(), given.float(), given
        parts = []
        for block, num in _blocks(len(token_ids)):
            read = self._read_block(latents[numbers[block]], token_ids[block], given[block])
            parts.append([part[:num] for part in read])
        bits, odds, best = (torch.cat(some) for some in zip(*parts, strict=True))
        return bits, odds, best

    @torch.inference_mode()
    def _read_block(
        self, image_latents: Tensor, token_ids: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        log_shares = self._log_shares(image_latents, self.autoencoder.text_encoder(token_ids))
        bits = _bits(log_shares, given)
        others = log_shares.scatter(-1, given[..., None], -torch.inf)
        others[..., : len(SPECIAL_TOKENS)] = -torch.inf
        likeliest = others.max(-1)
        odds = (likeliest.values + bits).masked_fill(~_is_word(given), -torch.inf)
        return bits, odds, likeliest.indices

    @torch.inference_mode()
    def _image_latents(self, images: Tensor) -> Tensor:
        """Latents (B, G·G, D) of `images` (B, 3, H, W) in [0, 1], NaN where they are hidden."""
        return self.autoencoder.image_encoder(hide_unknown(normalise(images)))

    def _log_shares(self, image_latents: Tensor, text_latents: Tensor) -> Tensor:
        """log2 of the probability of each word at each place, (B, L, V)."""
        quantizer = self.autoencoder.quantizer
        codes = quantizer.lookup(self.autoencoder.quantize_latents(image_latents, text_latents).indices)
        return self.autoencoder.decode_captions(codes).float().log_softmax(-1) / math.log(2)

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


def _blocks(num: int) -> Iterator[tuple[Tensor, int]]:
    """`num` rows in blocks of `BLOCK_SIZE`, the last filled up by its last row, and how many are its own."""
    for rows in torch.arange(num).split(BLOCK_SIZE):
        yield torch.cat([rows, rows[-1:].expand(BLOCK_SIZE - len(rows))]), len(rows)


def _is_word(token_ids: Tensor) -> Tensor:
    return token_ids >= len(SPECIAL_TOKENS)


def _bits(log_shares: Tensor, given: Tensor) -> Tensor:
    """Bits of the words of `given` (B, L), 0 where there are none."""
    return (-log_shares.gather(-1, given[..., None])[..., 0]).masked_fill(~_is_word(given), 0)
