import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.data import tokenizer as tokenizer_module
from mxqvae.data.caption_grammar import compose_caption
from mxqvae.data.caption_mnist import draw_pairs
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError


def caption_mnist(num: int, seed: int = 0) -> list[str]:
    pairs = draw_pairs(np.arange(10), "train", seed, first=0, num=num)
    return [compose_caption(pair.clauses) for pair in pairs]


TOKENIZER = CaptionTokenizer.train(caption_mnist(1000))
COLOURS = CaptionTokenizer.train(["Red, green and blue."])
"""Words and marks: , . and blue green red; ids from 4."""
PROSE = ["A man in red .", "two dogs, playing  with a T-shirt's ball !", "café ☕ 日本"]
SUBWORDS = CaptionTokenizer.train_subwords(PROSE, vocab_size=300)
ROOMY = CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=200)


class TestCaptionMnist:
    @given(st.integers(0, 2**64))
    def test_decoding_an_encoded_caption_restores_it(self, seed: int):
        captions = caption_mnist(10, seed)
        assert TOKENIZER.decode(TOKENIZER.encode(captions)) == captions

    def test_the_small_data_set(self, caption_mnist_small: Path):
        captions = PairDataset.from_parquet(caption_mnist_small, "test").captions
        assert TOKENIZER.decode(TOKENIZER.encode(captions)) == captions

    def test_size(self):
        # 27 words and marks; the longest caption has 4 clauses of 8 words, 3 commas, "and" and a full stop.
        assert TOKENIZER.vocab_size == 4 + 27
        assert TOKENIZER.max_length == 4 * 8 + 3 + 1 + 1 + 1


class TestEncoding:
    def test_token_ids(self):
        token_ids = COLOURS.encode(["Red, green and blue.", "blue"])
        assert token_ids.dtype == torch.int64
        assert token_ids.tolist() == [[9, 4, 8, 6, 7, 5, 3], [7, 3, 0, 0, 0, 0, 0]]
        assert (COLOURS.pad_id, COLOURS.unknown_id, COLOURS.mask_id, COLOURS.end_id) == (0, 1, 2, 3)

    def test_no_captions(self):
        assert COLOURS.encode([]).shape == (0, 7)

    def test_an_empty_caption_is_one_that_is_not_known(self):
        assert COLOURS.encode(["", " "]).tolist() == [[2] * 7] * 2
        assert COLOURS.decode(COLOURS.encode([""])) == [""]

    def test_case_and_spaces_do_not_matter(self):
        assert COLOURS.encode([" RED ,green  and Blue."]).equal(COLOURS.encode(["Red, green and blue."]))

    @given(st.text(alphabet=" abcdegrlun,.!5ÀİßΣ[]", max_size=30))
    def test_any_text_is_encoded_or_refused(self, caption: str):
        try:
            token_ids = COLOURS.encode([caption])
        except MxqvaeError:
            return
        assert token_ids.shape == (1, 7)
        assert COLOURS.unknown_id not in token_ids

    def test_unknown_words_are_named(self):
        with pytest.raises(MxqvaeError, match=r"^unknown in captions: 'Pink', 'ten', '!'; use the words"):
            COLOURS.encode(["red", "Pink and ten", "ten!"])

    def test_of_many_unknown_words_some_are_named(self):
        with pytest.raises(MxqvaeError, match=r"'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and 18 more;"):
            COLOURS.encode(list("abcdefghijklmnopqrstuvwxyz"))

    @pytest.mark.parametrize("special", SPECIAL_TOKENS)
    def test_a_caption_can_not_spell_a_special_token(self, special: str):
        with pytest.raises(MxqvaeError, match=r"unknown in captions: '\['"):
            COLOURS.encode([special])

    def test_a_caption_that_is_too_long_is_named(self):
        assert COLOURS.encode(["red red red red red red"]).shape == (1, 7)
        with pytest.raises(
            MxqvaeError, match=r"caption of 7 words and marks, 6 fit: 'red red red red red red, '"
        ):
            COLOURS.encode(["red", "red red red red red red, "])


class TestDecoding:
    @pytest.mark.parametrize(
        ("token_ids", "caption"),
        [
            ([9, 4, 8, 6, 7, 5, 3], "Red, green and blue."),
            ([9, 3, 8, 8, 8, 8, 8], "Red"),  # nothing after the first [END]
            ([9, 8, 7, 6, 5, 4, 4], "Red green blue and.,,"),  # no [END] at all
            ([0, 9, 1, 2, 8, 0, 0], "Red green"),  # special tokens are dropped
            ([3, 0, 0, 0, 0, 0, 0], ""),
            ([4, 9, 3, 0, 0, 0, 0], ", red"),
        ],
    )
    def test_captions(self, token_ids: list[int], caption: str):
        assert COLOURS.decode(torch.tensor([token_ids])) == [caption]

    def test_lengths_other_than_its_own(self):
        assert COLOURS.decode(torch.tensor([[9, 3]])) == ["Red"]
        assert COLOURS.decode(torch.zeros(0, 7, dtype=torch.int64)) == []


class TestTraining:
    def test_order_of_captions_does_not_matter(self):
        one = CaptionTokenizer.train(["red green", "blue"])
        other = CaptionTokenizer.train(["blue", "green, red".replace(",", "")])
        assert one.encode(["red green"]).equal(other.encode(["red green"]))

    def test_a_given_length(self):
        tokenizer = CaptionTokenizer.train(["red, red"], max_length=9)
        assert tokenizer.max_length == 9
        assert tokenizer.encode(["red"]).tolist() == [[5, 3, 0, 0, 0, 0, 0, 0, 0]]

    def test_a_given_length_that_is_too_short(self):
        assert CaptionTokenizer.train(["red, red"], max_length=4).max_length == 4
        with pytest.raises(MxqvaeError, match="caption of 3 words and marks, 2 fit: 'red, red'"):
            CaptionTokenizer.train(["red", "red, red"], max_length=3)

    @pytest.mark.parametrize("captions", [[], [""], ["  "]])
    def test_nothing_to_learn_from(self, captions: list[str]):
        with pytest.raises(MxqvaeError, match="no captions"):
            CaptionTokenizer.train(captions)


class TestFile:
    def test_a_saved_tokenizer_is_the_same(self, tmp_path: Path):
        TOKENIZER.save(tmp_path / "tokenizer.json")
        loaded = CaptionTokenizer.load(tmp_path / "tokenizer.json")
        assert (loaded.vocab_size, loaded.max_length) == (TOKENIZER.vocab_size, TOKENIZER.max_length)
        captions = caption_mnist(50, seed=9)
        assert loaded.encode(captions).equal(TOKENIZER.encode(captions))
        assert loaded.decode(TOKENIZER.encode(captions)) == captions
        with pytest.raises(MxqvaeError, match="unknown in captions: 'pink'"):
            loaded.encode(["pink"])

    def test_one_json_file_always_the_same(self, tmp_path: Path):
        for name in ("one.json", "two.json"):
            CaptionTokenizer.train(caption_mnist(1000)).save(tmp_path / name)
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]
        assert json.loads((tmp_path / "one.json").read_bytes())["padding"]["strategy"] == {"Fixed": 38}

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: b"",
            lambda text: text[:-20],
            lambda text: b"{}",
            lambda text: b"[1, 2]",
            lambda text: b"\xff\xfe",
            lambda text: text.replace(b"[MASK]", b"[HIDE]"),
            lambda text: text.replace(b'"red": 9', b'"red": 10'),
            lambda text: json.dumps(json.loads(text) | {"padding": None}).encode(),
        ],
        ids=["empty", "cut", "no keys", "a list", "no text", "other tokens", "a gap", "no length"],
    )
    def test_a_damaged_file_is_named(self, damage, tmp_path: Path):
        path = tmp_path / "tokenizer.json"
        COLOURS.save(path)
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(
            MxqvaeError, match=r"tokenizer\.json: .*; give a file that training wrote"
        ) as refusal:
            CaptionTokenizer.load(path)
        assert "\n" not in str(refusal.value)

    def test_a_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(MxqvaeError, match=r"nothing\.json: No such file"):
            CaptionTokenizer.load(tmp_path / "nothing.json")


class TestCounting:
    def test_words_and_the_end(self):
        assert COLOURS.count_tokens(["Red, green and blue.", "blue", ""]) == [7, 2, 1]

    @given(st.lists(st.sampled_from(PROSE), min_size=1))
    def test_what_is_cut_counts_too(self, captions: list[str]):
        short = CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=5)
        assert short.count_tokens(captions) == SUBWORDS.count_tokens(captions)

    def test_a_few_at_a_time_without_padding(self, monkeypatch: pytest.MonkeyPatch):
        # With padding, a single long caption would make each as large as itself.
        assert SUBWORDS._without_length.padding is None
        monkeypatch.setattr(tokenizer_module, "CAPTIONS_AT_A_TIME", 2)
        taken = []

        def captions() -> Iterator[str]:
            for caption in (PROSE[0], PROSE[1], " ".join(["dog"] * 500), PROSE[0]):
                taken.append(caption)
                yield caption

        counts = tokenizer_module._count_tokens(SUBWORDS._without_length, captions())
        assert next(counts) == SUBWORDS.count_tokens(PROSE)[0]
        assert len(taken) == 2
        assert list(counts)[1] > 500

    def test_the_same_subwords_for_another_length(self, tmp_path: Path):
        for tokenizer, name in (
            (CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=7), "one.json"),
            (SUBWORDS.with_max_length(7), "other.json"),
        ):
            assert tokenizer.max_length == 7
            tokenizer.save(tmp_path / name)
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
        assert SUBWORDS.max_length != 7
        with pytest.raises(ValueError, match="whole words"):
            COLOURS.with_max_length(7)


class TestEncodingAFewAtATime:
    @pytest.fixture(autouse=True)
    def two_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tokenizer_module, "CAPTIONS_AT_A_TIME", 2)

    def test_each_caption_has_its_row(self):
        captions = [*PROSE, "", *PROSE]
        each_alone = torch.cat([SUBWORDS.encode([caption]) for caption in captions])
        assert SUBWORDS.encode(captions).equal(each_alone)
        assert SUBWORDS.encode([]).shape == (0, SUBWORDS.max_length)

    def test_unknown_words_of_all_captions_are_named(self):
        captions = ["This is pink 7.", "This is red 7.", "This is red 0.", "This is mauve 7."]
        with pytest.raises(MxqvaeError, match="unknown in captions: 'pink', 'mauve'"):
            TOKENIZER.encode(captions)


class TestSubwords:
    def test_decoding_restores_all_but_case_and_odd_spaces(self):
        assert SUBWORDS.decode(SUBWORDS.encode(PROSE)) == [
            "A man in red.",
            "Two dogs, playing with a t-shirt's ball!",
            "Café ☕ 日本",
        ]

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
    def test_every_text_is_spelled(self, caption: str):
        token_ids = ROOMY.encode([caption])
        assert not token_ids.eq(CaptionTokenizer.unknown_id).any()
        assert len(ROOMY.decode(token_ids)) == 1

    @given(st.text("aBzé☕日ß5'-.,!?[]()# ", max_size=15))
    def test_nothing_but_spaces_and_case_is_lost(self, caption: str):
        decoded = ROOMY.decode(ROOMY.encode([caption]))[0]
        assert decoded.casefold().replace(" ", "") == caption.casefold().replace(" ", "")

    def test_common_words_are_one_token(self):
        tokenizer = CaptionTokenizer.train_subwords(["a red ball"] * 50, vocab_size=400)
        assert tokenizer.encode(["red ball"]).ne(0).sum() == 3

    def test_a_long_caption_is_cut_and_still_ends(self):
        short = CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=4)
        token_ids = short.encode(PROSE)
        assert token_ids.shape == (3, 4)
        assert token_ids[:, -1].tolist() == [CaptionTokenizer.end_id] * 3

    def test_no_caption_spells_a_special_token(self):
        token_ids = SUBWORDS.encode(["[MASK] [PAD] [END]"])[0]
        assert token_ids[token_ids.ne(SUBWORDS.pad_id)].lt(len(SPECIAL_TOKENS)).sum() == 1

    def test_the_same_captions_make_the_same_vocabulary(self, tmp_path: Path):
        for name in ("one", "two"):
            CaptionTokenizer.train_subwords(PROSE, vocab_size=300).save(tmp_path / name)
        assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()

    def test_saving_and_loading(self, tmp_path: Path):
        short = CaptionTokenizer.train_subwords(PROSE, vocab_size=300, max_length=6)
        short.save(tmp_path / "tokenizer.json")
        loaded = CaptionTokenizer.load(tmp_path / "tokenizer.json")
        assert (loaded.vocab_size, loaded.max_length) == (300, 6)
        assert loaded.encode(PROSE).equal(short.encode(PROSE))

    def test_a_vocabulary_without_room_for_the_bytes(self):
        with pytest.raises(
            MxqvaeError, match="vocab_size must be at least 260, special tokens and bytes, got 259"
        ):
            CaptionTokenizer.train_subwords(PROSE, vocab_size=259)

    def test_nothing_to_learn_from(self):
        with pytest.raises(MxqvaeError, match="no captions to take a vocabulary from"):
            CaptionTokenizer.train_subwords(["", " "], vocab_size=300)


class TestLocating:
    def test_words_are_found_where_they_stand(self):
        caption = "Red,  blue."
        spans = COLOURS.locate([caption, ""])
        assert [caption[start:end] for start, end in spans[0]] == ["Red", ",", "blue", "."]
        assert spans[1] == []

    def test_each_real_token_has_a_place_in_order(self):
        for caption in PROSE:
            (spans,) = SUBWORDS.locate([caption])
            num_real = int((SUBWORDS.encode([caption]) >= len(SPECIAL_TOKENS)).sum())
            assert len(spans) == num_real
            assert spans == sorted(spans)
            assert all(0 <= start <= end <= len(caption) for start, end in spans)


class TestMaskedCaptions:
    """Captions in which some words are written [MASK]."""

    CAPTIONS = ("The blue 5 is on the lower left, and the 7 on the top right is red.", "This is white 0.")

    @pytest.fixture(params=["words", "subwords"])
    def masking_tokenizer(self, request: pytest.FixtureRequest) -> CaptionTokenizer:
        """One of each kind of vocabulary."""
        if request.param == "words":
            return CaptionTokenizer.train(self.CAPTIONS)
        return CaptionTokenizer.train_subwords(self.CAPTIONS, vocab_size=400)

    def test_without_hidden_words_they_are_encoded_as_ever(self, masking_tokenizer: CaptionTokenizer):
        captions = [*self.CAPTIONS, ""]
        assert masking_tokenizer.encode_masked(captions).equal(masking_tokenizer.encode(captions))

    @pytest.mark.parametrize("word", ["The", "blue", "lower", "red"])
    def test_a_hidden_word_is_a_mask_in_its_place(self, masking_tokenizer: CaptionTokenizer, word: str):
        caption = self.CAPTIONS[0]
        (whole,) = masking_tokenizer.encode([caption])
        (hidden,) = masking_tokenizer.encode_masked([caption.replace(word, "[MASK]")])
        assert (hidden == masking_tokenizer.mask_id).sum() == 1
        known = (hidden != masking_tokenizer.mask_id) & (hidden != masking_tokenizer.pad_id)
        length = int(known.sum()) + 1
        place = int((hidden == masking_tokenizer.mask_id).nonzero())
        assert hidden[:place].equal(whole[:place])
        rest = length - place - 1
        ends = int((whole == masking_tokenizer.end_id).nonzero()) + 1
        assert hidden[place + 1 : length].equal(whole[ends - rest : ends])

    def test_what_is_found_is_filled_in(self):
        tokenizer = CaptionTokenizer.train(self.CAPTIONS)
        for caption in self.CAPTIONS:
            (token_ids,) = tokenizer.encode([caption])
            hidden = caption.replace(" is ", " [MASK] ").replace("red", "[MASK]")
            assert tokenizer.fill_masked(hidden, token_ids) == caption
            assert tokenizer.fill_masked("", token_ids) == caption
            assert tokenizer.fill_masked("  ODD CASE stays.", token_ids) == "  ODD CASE stays."

    def test_a_first_word_that_is_found_gets_its_capital(self):
        tokenizer = CaptionTokenizer.train(self.CAPTIONS)
        (token_ids,) = tokenizer.encode([self.CAPTIONS[1]])
        assert tokenizer.fill_masked("[MASK] is [MASK] 0.", token_ids) == self.CAPTIONS[1]

    def test_all_words_can_be_hidden(self):
        tokenizer = CaptionTokenizer.train(self.CAPTIONS)
        (token_ids,) = tokenizer.encode_masked(["[MASK] [MASK] [MASK]"])
        assert token_ids[:5].tolist() == [2, 2, 2, 3, 0]

    def test_several_tokens_are_hidden_at_once(self, masking_tokenizer: CaptionTokenizer):
        caption = self.CAPTIONS[0]
        together = caption.replace("is on the", "[MASK*3]")
        apart = caption.replace("is on the", "[MASK] [MASK] [MASK]")
        assert masking_tokenizer.encode_masked([together]).equal(masking_tokenizer.encode_masked([apart]))
        (whole,) = masking_tokenizer.encode([caption])
        assert masking_tokenizer.fill_masked(together, whole) == caption

    def test_a_word_of_several_subwords_is_filled_in(self):
        tokenizer = CaptionTokenizer.train_subwords(self.CAPTIONS, vocab_size=400)
        caption = "This is violet 0."
        (token_ids,) = tokenizer.encode([caption])
        pieces = tokenizer.count_tokens(["violet"])[0] - 1
        assert pieces > 1
        assert tokenizer.fill_masked(f"This is [MASK*{pieces}] 0.", token_ids) == caption

    def test_messages(self):
        tokenizer = CaptionTokenizer.train(self.CAPTIONS, max_length=20)
        with pytest.raises(MxqvaeError, match=r"\[MASK\*0\] hides nothing"):
            tokenizer.encode_masked(["This is [MASK*0]."])
        for num in (20, 999999):
            with pytest.raises(MxqvaeError, match="words and marks, 19 fit"):
                tokenizer.encode_masked([f"[MASK*{num}]"])
        with pytest.raises(MxqvaeError, match="unknown in captions: 'purple'"):
            tokenizer.encode_masked(["This is [MASK] purple."])
        with pytest.raises(MxqvaeError, match="caption of 20 words and marks, 19 fit"):
            tokenizer.encode_masked(["[MASK] " * 20])
