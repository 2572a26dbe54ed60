"""Captions to token ids and back: one token for each word and each punctuation mark, in lower case.

B batch, L tokens.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[MASK]", "[END]")
"""In the order of their ids. A caption cannot spell one: its brackets count as words of their own."""
_SPACE_BEFORE_MARK = re.compile(r" (?=[,.;:!?])")
_MAX_WORDS_NAMED = 8


class CaptionTokenizer:
    """A vocabulary of whole words, and captions padded to one length.

    Attributes:
        max_length: Tokens in an encoded caption, its [END] and padding included.
        vocab_size: Token ids, the four special ones included.
    """

    pad_id = 0
    unknown_id = 1
    mask_id = 2
    end_id = 3

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wrap a tokenizer made by `train` or read by `load`.

        Raises:
            ValueError: It is of another kind.
        """
        words = [tokenizer.id_to_token(token_id) for token_id in range(tokenizer.get_vocab_size())]
        padding = tokenizer.padding or {}
        special = tuple(words[: len(SPECIAL_TOKENS)])
        if special != SPECIAL_TOKENS or None in words or not padding.get("length"):
            raise ValueError("not a tokenizer of captions")
        self._tokenizer = tokenizer
        self._words = [word for word in words if word is not None]
        self.vocab_size = len(words)
        self.max_length = int(padding["length"])

    @classmethod
    def train(cls, captions: Iterable[str], max_length: int | None = None) -> "CaptionTokenizer":
        """Collect the words of `captions`, in alphabetical order.

        Args:
            max_length: Tokens, [END] included; by default what the longest caption needs.

        Raises:
            MxqvaeError: There is no caption, or one is longer than `max_length`.
        """
        words: set[str] = set()
        longest, longest_caption = 0, ""
        for caption in captions:
            caption_words = _split(caption)
            words.update(caption_words)
            if len(caption_words) > longest:
                longest, longest_caption = len(caption_words), caption
        if not words:
            raise MxqvaeError("no captions to take a vocabulary from; give some with words in them")
        if max_length is not None and longest >= max_length:
            raise _too_long(longest_caption, longest, max_length)
        return cls(_word_level_tokenizer(sorted(words), max_length or longest + 1))

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64: each caption, [END], padding.

        Raises:
            MxqvaeError: Names words outside the vocabulary, or the caption that is too long.
        """
        encodings = self._tokenizer.encode_batch(list(captions))
        rows = [encoding.ids for encoding in encodings]
        unknown: dict[str, None] = {}
        for caption, encoding in zip(captions, encodings, strict=True):
            if len(encoding.ids) > self.max_length:
                raise _too_long(caption, len(encoding.ids) - 1, self.max_length)
            if self.unknown_id in encoding.ids:
                spans = zip(encoding.ids, encoding.offsets, strict=True)
                unknown |= {
                    caption[start:end]: None
                    for token_id, (start, end) in spans
                    if token_id == self.unknown_id
                }
        if unknown:
            raise _unknown(list(unknown))
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), self.max_length)

    def decode(self, token_ids: Tensor) -> list[str]:
        """Raw captions of token ids (B, L), each up to its first [END].

        Special tokens are dropped, punctuation marks follow their word, the first letter is upper case.
        """
        return [self._decode_one(row) for row in token_ids.tolist()]

    def _decode_one(self, token_ids: list[int]) -> str:
        if self.end_id in token_ids:
            token_ids = token_ids[: token_ids.index(self.end_id)]
        words = [self._words[token_id] for token_id in token_ids if token_id >= len(SPECIAL_TOKENS)]
        sentence = _SPACE_BEFORE_MARK.sub("", " ".join(words))
        return sentence[:1].upper() + sentence[1:]

    def save(self, path: Path) -> None:
        """Write one JSON file in the format of the library `tokenizers`; it holds `max_length` too."""
        with new_output_file(path) as partial:
            partial.write_text(self._tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "CaptionTokenizer":
        """Read a file that `save` wrote.

        Raises:
            MxqvaeError: It is missing, damaged or the file of another tokenizer.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise MxqvaeError(f"tokenizer {path}: {reason}; give a file that training wrote") from None
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # the library raises nothing narrower for damaged JSON
            raise MxqvaeError(f"tokenizer {path}: {error}; give a file that training wrote") from None


def _split(caption: str) -> list[str]:
    return [word for word, _ in Whitespace().pre_tokenize_str(Lowercase().normalize_str(caption))]


def _word_level_tokenizer(words: Sequence[str], max_length: int) -> Tokenizer:
    vocabulary = {word: token_id for token_id, word in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="$A [END]", special_tokens=[("[END]", CaptionTokenizer.end_id)]
    )
    tokenizer.enable_padding(pad_id=CaptionTokenizer.pad_id, pad_token="[PAD]", length=max_length)
    return tokenizer


def _unknown(words: Sequence[str]) -> MxqvaeError:
    named = ", ".join(repr(word) for word in words[:_MAX_WORDS_NAMED])
    more = f" and {len(words) - _MAX_WORDS_NAMED} more" if len(words) > _MAX_WORDS_NAMED else ""
    return MxqvaeError(
        f"unknown in captions: {named}{more}; use the words of the training captions, or train on these"
    )


def _too_long(caption: str, num_words: int, max_length: int) -> MxqvaeError:
    return MxqvaeError(
        f"caption of {num_words} words and marks, {max_length - 1} fit: {caption!r}; shorten it, or train a "
        "tokenizer with a greater max_length"
    )
