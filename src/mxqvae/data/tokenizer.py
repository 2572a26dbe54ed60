"""Captions to token ids and back, in lower case.

Two vocabularies: whole words and punctuation marks, for captions of a small language; subwords (byte-level
BPE, Radford et al. 2019, section 2.2), which spell every text, for those that people write.

B batch, L tokens.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE, WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[MASK]", "[END]")
"""In the order of their ids. A caption cannot spell one: its brackets count as words of their own."""
HIDDEN_TOKENS = re.compile(r"\[MASK(?:\*(\d{1,6}))?\]")
"""How a hidden token is written in a caption for `CaptionTokenizer.encode_masked`; `[MASK*3]` are three."""
_SPACE_BEFORE_MARK = re.compile(r" (?=[,.;:!?])")
_MARK = re.compile(r"[,.;:!?]")
_MAX_WORDS_NAMED = 8
SMALLEST_SUBWORD_VOCABULARY = len(SPECIAL_TOKENS) + len(ByteLevel.alphabet())
"""Special tokens and the 256 bytes, before anything is learned."""
CAPTIONS_AT_A_TIME = 1000
"""Of captions that are encoded: encodings take a hundred times the memory of their text."""
TOKENIZER_FILE = "tokenizer.json"
"""Its name in data sets and in model folders."""


class CaptionTokenizer:
    """A vocabulary of words or subwords, and captions padded to one length.

    An empty caption is one that is not known: it is encoded as [MASK] throughout.

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
        self.vocab_size = len(words)
        self.max_length = int(padding["length"])

    @classmethod
    def train(cls, captions: Iterable[str], max_length: int | None = None) -> "CaptionTokenizer":
        """Collect the words of `captions`, in alphabetical order; other words and longer captions are errors.

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

    @classmethod
    def train_subwords(
        cls, captions: Iterable[str], *, vocab_size: int, max_length: int | None = None
    ) -> "CaptionTokenizer":
        """Learn subwords of `captions`; `encode` then takes every text, and cuts what is longer than fits.

        Args:
            vocab_size: Token ids, the special ones and the bytes included; fewer where captions hold fewer.
            max_length: Tokens, [END] included; by default what the longest caption needs.

        Raises:
            MxqvaeError: There is no caption, or `vocab_size` is below `SMALLEST_SUBWORD_VOCABULARY`.
        """
        captions = [caption for caption in captions if caption.strip()]
        if not captions:
            raise MxqvaeError("no captions to take a vocabulary from; give some with words in them")
        if vocab_size < SMALLEST_SUBWORD_VOCABULARY:
            raise MxqvaeError(
                f"vocab_size must be at least {SMALLEST_SUBWORD_VOCABULARY}, special tokens and bytes, "
                f"got {vocab_size}"
            )
        tokenizer = _subword_tokenizer(captions, vocab_size)
        length = max(_count_tokens(tokenizer, captions)) if max_length is None else max_length
        _cut_and_pad(tokenizer, length)
        return cls(tokenizer)

    def with_max_length(self, max_length: int) -> "CaptionTokenizer":
        """The same subwords, for captions of `max_length` tokens, [END] included.

        Raises:
            ValueError: The vocabulary is of whole words, which cut nothing.
        """
        if self._tokenizer.truncation is None:
            raise ValueError("a tokenizer of whole words has the length of its captions")
        tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        _cut_and_pad(tokenizer, max_length)
        return CaptionTokenizer(tokenizer)

    def count_tokens(self, captions: Iterable[str]) -> list[int]:
        """Tokens that each caption needs, its [END] included, however many fit."""
        return list(_count_tokens(self._without_length, captions))

    @cached_property
    def _without_length(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _real_tokens(self, token_ids: Sequence[int]) -> int:
        return sum(token_id not in (self.pad_id, self.end_id) for token_id in token_ids)

    def locate(self, captions: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of the encoded captions, [END] left out, stands in its caption: start and end."""
        encodings = self._tokenizer.encode_batch(list(captions))
        return [encoding.offsets[: self._real_tokens(encoding.ids)] for encoding in encodings]

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64: each caption, [END], padding.

        Raises:
            MxqvaeError: Of a vocabulary of whole words: names words outside of it, or the caption that is
                too long.
        """
        unknown: dict[str, None] = {}
        parts = [torch.empty(0, self.max_length, dtype=torch.int64)]
        for first in range(0, len(captions), CAPTIONS_AT_A_TIME):
            rows = self._encode_some(list(captions[first : first + CAPTIONS_AT_A_TIME]), unknown)
            parts.append(torch.tensor(rows, dtype=torch.int64))
        if unknown:
            raise _unknown(list(unknown))
        return torch.cat(parts)

    def _encode_some(self, captions: list[str], unknown: dict[str, None]) -> list[list[int]]:
        """Rows of `max_length` ids; words outside the vocabulary are added to `unknown`."""
        rows = []
        for caption, encoding in zip(captions, self._tokenizer.encode_batch(captions), strict=True):
            ids = encoding.ids
            if len(ids) > self.max_length:
                raise _too_long(caption, len(ids) - 1, self.max_length)
            if self.unknown_id in ids:
                spans = zip(ids, encoding.offsets, strict=True)
                unknown |= {
                    caption[start:end]: None for token, (start, end) in spans if token == self.unknown_id
                }
            rows.append(ids if caption.strip() else [self.mask_id] * self.max_length)
        return rows

    def encode_masked(self, captions: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64 of captions in which some words are written [MASK], or [MASK*n].

        [MASK] is one token that is not known, [MASK*n] are n of them: words, or parts of words where the
        vocabulary is of subwords, which spell a rare word with several. A caption without any is encoded as
        `encode` does it, an empty one as not known at all.

        Raises:
            MxqvaeError: As `encode`, and for [MASK*0].
        """
        rows = torch.full((len(captions), self.max_length), self.pad_id)
        for row, caption in zip(rows, captions, strict=True):
            pieces, counts = _split_at_hidden(caption)
            if not counts:
                row.copy_(self.encode([caption])[0])
                continue
            token_ids: list[int] = []
            for piece, count in zip(pieces, [*counts, 0], strict=True):
                mark = self._tokenizer.token_to_id(piece[:1]) if _MARK.match(piece) else None
                if mark is not None:
                    # By itself: a vocabulary of subwords would take it for the start of a word.
                    token_ids.append(mark)
                    piece = piece[1:]
                if piece.strip():
                    encoded = self.encode([piece])[0].tolist()
                    token_ids += encoded[: encoded.index(self.end_id)]
                token_ids += [self.mask_id] * min(count, self.max_length)
            token_ids.append(self.end_id)
            if len(token_ids) > self.max_length:
                raise _too_long(caption, len(token_ids) - 1, self.max_length)
            row[: len(token_ids)] = torch.tensor(token_ids)
        return rows

    def fill_masked(self, caption: str, token_ids: Tensor) -> str:
        """`caption` with what `token_ids` (L) say in place of each [MASK] or [MASK*n]; the rest as it is."""
        pieces, counts = _split_at_hidden(caption)
        if not counts:
            return caption if caption.strip() else self.decode(token_ids[None])[0]
        hidden = token_ids[self.encode_masked([caption])[0] == self.mask_id]
        words = [self._tokenizer.decode(some.tolist()).strip() for some in hidden.split(counts)]
        first, *others = pieces
        filled = "".join([first, *(word + piece for word, piece in zip(words, others, strict=True))])
        return filled if first else filled[:1].upper() + filled[1:]

    def decode(self, token_ids: Tensor) -> list[str]:
        """Raw captions of token ids (B, L), each up to its first [END].

        Special tokens are dropped, punctuation marks follow their word, the first letter is upper case.
        """
        return [self._decode_one(row) for row in token_ids.tolist()]

    def _decode_one(self, token_ids: list[int]) -> str:
        if self.end_id in token_ids:
            token_ids = token_ids[: token_ids.index(self.end_id)]
        token_ids = [token_id for token_id in token_ids if token_id >= len(SPECIAL_TOKENS)]
        text = self._tokenizer.decode(token_ids).strip()
        sentence = _SPACE_BEFORE_MARK.sub("", text)
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


def _count_tokens(tokenizer: Tokenizer, captions: Iterable[str]) -> Iterator[int]:
    captions = iter(captions)
    while some := list(islice(captions, CAPTIONS_AT_A_TIME)):
        yield from map(len, tokenizer.encode_batch_fast(some))


def _cut_and_pad(tokenizer: Tokenizer, length: int) -> None:
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=CaptionTokenizer.pad_id, pad_token="[PAD]", length=length)


def _split(caption: str) -> list[str]:
    return [word for word, _ in Whitespace().pre_tokenize_str(Lowercase().normalize_str(caption))]


def _word_level_tokenizer(words: Sequence[str], max_length: int) -> Tokenizer:
    vocabulary = {word: token_id for token_id, word in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = _ends_with_end()
    tokenizer.enable_padding(pad_id=CaptionTokenizer.pad_id, pad_token="[PAD]", length=max_length)
    return tokenizer


def _subword_tokenizer(captions: Sequence[str], vocab_size: int) -> Tokenizer:
    trained = _with_subword_rules(Tokenizer(BPE()))
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(captions, trainer)
    # Only what was learned: with the trainer's special tokens a caption could spell one.
    learned = json.loads(trained.to_str())["model"]
    tokenizer = Tokenizer(BPE(learned["vocab"], [tuple(merge) for merge in learned["merges"]]))
    return _with_subword_rules(tokenizer)


def _with_subword_rules(tokenizer: Tokenizer) -> Tokenizer:
    # What decoding would tidy anyway, so that decoding restores what was encoded.
    one_space = normalizers.Replace(Regex(r"\s+"), " ")
    marks_follow = normalizers.Replace(Regex(r" +(?=[,.;:!?])"), "")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), Lowercase(), one_space, marks_follow, normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = _ends_with_end()
    return tokenizer


def _ends_with_end() -> TemplateProcessing:
    return TemplateProcessing(single="$A [END]", special_tokens=[("[END]", CaptionTokenizer.end_id)])


def _split_at_hidden(caption: str) -> tuple[list[str], list[int]]:
    """What stands before, between and after the hidden tokens of a caption, and how many are hidden where."""
    first, *others = HIDDEN_TOKENS.split(caption)
    counts = [1 if count is None else int(count) for count in others[::2]]
    if 0 in counts:
        raise MxqvaeError(f"caption {caption!r}: [MASK*0] hides nothing; write [MASK], or [MASK*n] from 1 on")
    return [first, *others[1::2]], counts


def _unknown(words: Sequence[str]) -> MxqvaeError:
    named = ", ".join(repr(word) for word in words[:_MAX_WORDS_NAMED])
    more = f" and {len(words) - _MAX_WORDS_NAMED} more" if len(words) > _MAX_WORDS_NAMED else ""
    return MxqvaeError(
        f"unknown in captions: {named}{more}; use the words of the training captions, or give weights "
        "(--weights) that were trained on such captions"
    )


def _too_long(caption: str, num_words: int, max_length: int) -> MxqvaeError:
    return MxqvaeError(
        f"caption of {num_words} words and marks, {max_length - 1} fit: {caption!r}; shorten it, or train on "
        "a data set built with a greater --max-length"
    )
