import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mxqvae.audit.auditor import AuditedPair, PairAuditor
from mxqvae.audit.measurement import measure_audit, roc_auc
from mxqvae.audit.words import find_words
from mxqvae.data.colour_words import find_colour_words, replace_colour_words
from mxqvae.data.degree import degrees_of, kinds_in, read_degree_set
from mxqvae.data.tokenizer import CaptionTokenizer

scores = st.lists(st.integers(0, 5), min_size=1, max_size=30)


@given(scores, scores)
def test_roc_auc_is_that_of_scikit_learn(negative: list[int], positive: list[int]):
    labels = [0] * len(negative) + [1] * len(positive)
    expected = roc_auc_score(labels, negative + positive)
    assert roc_auc(np.array(negative), np.array(positive)) == pytest.approx(expected)


class Blind:
    """An embedding that likes all pairs alike."""

    def score(self, images: Tensor, captions: list[str]) -> Tensor:
        assert len(images) == len(captions)
        return torch.zeros(len(captions))


def test_the_shipped_auditor_finds_wrong_slots(auditor: PairAuditor, degree_sets_small: Path):
    score = measure_audit(auditor, degree_sets_small, contrastive=Blind(), num=6)
    assert list(score.kinds) == ["Quad1", "Quad2", "Quad3", "Quad4"]
    assert score.pairs_per_second > 0
    for kind in score.kinds.values():
        assert kind.num_pairs == 6
        assert kind.roc_auc >= 0.95
        assert kind.caption_alone_roc_auc is not None
        assert kind.caption_alone_roc_auc < 0.9
        assert kind.contrastive_roc_auc == 0.5
        assert kind.word_named >= 5 / 6
        assert kind.slot_corrected >= kind.caption_corrected >= 4 / 6
        assert kind.right_kept >= 5 / 6


def key_of(image: Tensor, caption: str) -> tuple[bytes, str]:
    """The image, and the caption without its colours: an image can have several."""
    colours = find_colour_words(caption)
    words = replace_colour_words(caption, colours, dict.fromkeys(range(len(colours)), ""))
    return image.contiguous().numpy().tobytes(), words


class Knowing(PairAuditor):
    """Knows what is true of each image, and proposes it for every second wrong pair."""

    def __init__(self, tokenizer: CaptionTokenizer, truth: dict[tuple[bytes, str], str]) -> None:
        self.tokenizer, self.truth, self.num_wrong = tokenizer, truth, 0

    def audit(self, images: Tensor, captions: Sequence[str]) -> list[AuditedPair]:
        audited = []
        for image, caption, spans in zip(images, captions, self.tokenizer.locate(captions), strict=True):
            true = self.truth[key_of(image, caption)]
            words = find_words(caption, spans)
            texts = re.findall(r"\w+|[^\w\s]", true)
            bits = [9.0 * (word.text_in(caption) != text) for word, text in zip(words, texts, strict=True)]
            self.num_wrong += caption != true
            audited.append(AuditedPair(sum(bits), words, bits, true if self.num_wrong % 2 else caption))
        return audited

    @property
    def can_hide_words(self) -> bool:
        return True

    def caption_bits(self, captions: Sequence[str]) -> Tensor:
        return torch.zeros(len(captions))


def test_photos_have_a_wrong_colour_instead(colour_degree_sets: Path, coloured_photos: Path):
    kinds = kinds_in(colour_degree_sets)
    right = [read_degree_set(colour_degree_sets, kind, degrees_of(kind)[0]) for kind in kinds]
    truth = {
        key_of(image, caption): caption
        for pairs in right
        for image, caption in zip(pairs.images, pairs.captions, strict=True)
    }
    auditor = Knowing(CaptionTokenizer.load(coloured_photos / "tokenizer.json"), truth)
    score = measure_audit(auditor, colour_degree_sets)
    assert list(score.kinds) == kinds == ["Quad1", "Quad2", "Quad4"]
    for kind in score.kinds.values():
        assert (kind.roc_auc, kind.caption_alone_roc_auc, kind.word_named) == (1, 0.5, 1)
        assert kind.slot_corrected == kind.caption_corrected == pytest.approx(0.5, abs=0.2)
