import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.evaluation.unigram_precision import (
    count_words,
    mean_unigram_precision,
    modified_unigram_precision,
)

words = st.sampled_from(["a", "the", "red", "dog", "runs", "on"])
captions = st.lists(words, min_size=1, max_size=8).map(" ".join)
reference_lists = st.lists(captions, min_size=1, max_size=4)
both = pytest.mark.parametrize("precision", [modified_unigram_precision, mean_unigram_precision])


def of(precision: Callable[..., float], caption: str, references: list[str]) -> float:
    return precision(count_words(caption), [count_words(reference) for reference in references])


class TestWords:
    def test_case_and_marks_do_not_count(self):
        assert count_words("A dog; the DOG, a-dog!") == {"a": 2, "dog": 3, "the": 1}

    def test_apostrophes_belong_to_a_word_inside_it_only(self):
        assert count_words("'the boy's kite'") == {"the": 1, "boy's": 1, "kite": 1}

    def test_every_script_has_words(self):
        assert count_words("Käse 7 × 犬") == {"käse": 1, "7": 1, "犬": 1}


class TestPrecision:
    def test_counts_are_clipped_as_in_papineni(self):
        references = ["The cat is on the mat.", "There is a cat on the mat."]
        seven = "the the the the the the the"
        assert of(modified_unigram_precision, seven, references) == pytest.approx(2 / 7)
        assert of(mean_unigram_precision, seven, references) == pytest.approx((2 / 7 + 1 / 7) / 2)

    @both
    def test_a_short_caption_pays_no_penalty(self, precision: Callable[..., float]):
        assert of(precision, "cat", ["The cat is on the mat."]) == 1

    @both
    @given(caption=captions)
    def test_a_caption_equal_to_its_references_scores_one(
        self, precision: Callable[..., float], caption: str
    ):
        assert of(precision, caption, [caption, caption]) == 1

    @both
    def test_nothing_in_common_scores_zero(self, precision: Callable[..., float]):
        assert of(precision, "red dog", ["blue cat"]) == 0

    @both
    @pytest.mark.parametrize(("caption", "references"), [("", ["a dog"]), ("...", ["a"]), ("a", [])])
    def test_no_words_or_no_references_score_zero(
        self, precision: Callable[..., float], caption: str, references: list[str]
    ):
        assert of(precision, caption, references) == 0

    @given(caption=captions, references=reference_lists)
    def test_together_references_give_at_least_what_the_best_gives(self, caption: str, references: list[str]):
        together = of(modified_unigram_precision, caption, references)
        alone = [of(modified_unigram_precision, caption, [reference]) for reference in references]
        assert 0 <= max(alone) <= together <= 1
        assert of(mean_unigram_precision, caption, references) == pytest.approx(sum(alone) / len(alone))

    @both
    @given(caption=captions, references=reference_lists)
    def test_order_does_not_matter(
        self, precision: Callable[..., float], caption: str, references: list[str]
    ):
        mixed = caption.split()
        random.Random(0).shuffle(mixed)
        score = of(precision, " ".join(mixed), references[::-1])
        assert score == pytest.approx(of(precision, caption, references))

    @given(caption=captions, reference=captions)
    def test_against_one_reference_it_is_what_crossing_out_words_gives(self, caption: str, reference: str):
        left, right = reference.split(), 0
        for word in caption.split():
            if word in left:
                left.remove(word)
                right += 1
        expected = right / len(caption.split())
        assert of(modified_unigram_precision, caption, [reference]) == pytest.approx(expected)
