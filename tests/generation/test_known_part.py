import pytest
import torch

from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.data.batch import PairBatch
from mxqvae.generation.known_part import known_part

# 8 x 8 patches of 8 pixels; 8 text codes of 5 words.
CONFIG = MXQVAEConfig(vocab_size=9, caption_length=40, text=AttentiveTextConfig())
WORDS = [5, 6, 7, 8, 3]  # four words and [END]


def pair(hidden_columns: slice, words: list[int]) -> PairBatch:
    images = torch.rand(1, 3, 64, 64)
    images[:, :, :, hidden_columns] = torch.nan
    token_ids = torch.zeros(1, 40, dtype=torch.int64)
    token_ids[0, : len(words)] = torch.tensor(words)
    return PairBatch(images, token_ids)


@pytest.mark.parametrize(("first_hidden", "columns_given"), [(32, 4), (28, 4), (27, 3)])
def test_a_patch_is_given_where_half_of_its_pixels_are(first_hidden: int, columns_given: int):
    known = known_part(pair(slice(first_hidden, None), WORDS), CONFIG)
    assert known.patches.view(8, 8)[:, :columns_given].all()
    assert not known.patches.view(8, 8)[:, columns_given:].any()
    assert known.hides_pixels
    assert not known.hides_words
    assert not known.shows_nothing


def test_a_run_is_given_where_a_word_is():
    known = known_part(pair(slice(0, 0), [2] * 7 + [5] + [2] * 32), CONFIG)
    assert known.runs.tolist() == [False, True, *[False] * 6]
    assert known.hides_words
    assert not known.hides_pixels
    assert known.words.nonzero().flatten().tolist() == [7]


def test_pasting_leaves_what_is_given_and_takes_the_rest():
    given = pair(slice(10, 20), [5, 2, 2, 8, 3])
    found = PairBatch(torch.rand(2, 3, 64, 64), torch.randint(4, 9, (2, 40)))
    images, token_ids = known_part(given, CONFIG).paste_over(found)
    assert images[:, :, :, 10:20].equal(found.images[:, :, :, 10:20])
    assert images[1, :, :, :10].equal(given.images[0, :, :, :10])
    assert token_ids[0, :5].tolist() == [5, *found.token_ids[0, 1:3].tolist(), 8, 3]
    assert not token_ids[:, 5:].any()
