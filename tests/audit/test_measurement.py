from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.measurement import measure_audit, roc_auc

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
        assert kind.caption_alone_roc_auc < 0.9
        assert kind.contrastive_roc_auc == 0.5
        assert kind.word_named >= 5 / 6
        assert kind.slot_corrected >= kind.caption_corrected >= 4 / 6
        assert kind.right_kept >= 5 / 6
