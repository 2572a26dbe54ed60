import pytest
import torch

from mxqvae.data.batch import PairBatch
from mxqvae.data.hiding import WAYS, hide_parts
from mxqvae.data.tokenizer import CaptionTokenizer

NUM = 2000
LENGTH = 10
MASK, END, PAD = CaptionTokenizer.mask_id, CaptionTokenizer.end_id, CaptionTokenizer.pad_id


@pytest.fixture
def pairs() -> PairBatch:
    """Pairs whose captions have 0 to 9 words."""
    num_words = torch.arange(NUM) % LENGTH
    places = torch.arange(LENGTH)
    token_ids = torch.where(
        places < num_words[:, None], 7, torch.where(places == num_words[:, None], END, PAD)
    )
    return PairBatch(torch.rand(NUM, 3, 16, 16), token_ids)


def test_what_is_given_stays(pairs: PairBatch):
    images, token_ids = hide_parts(pairs, 4)
    known = ~images.isnan()
    assert images[known].equal(pairs.images[known])
    words = token_ids != MASK
    assert token_ids[words].equal(pairs.token_ids[words])


def test_a_pixel_is_hidden_in_all_channels(pairs: PairBatch):
    hidden = hide_parts(pairs, 4).images.isnan()
    assert hidden.all(1).equal(hidden.any(1))


def test_a_caption_keeps_its_end_or_is_all_hidden(pairs: PairBatch):
    hidden = hide_parts(pairs, 4).token_ids == MASK
    wholly = hidden.all(1)
    ends = pairs.token_ids <= END
    assert not hidden[~wholly][ends[~wholly]].any()


def test_ways_are_drawn_in_their_shares(pairs: PairBatch):
    images, token_ids = hide_parts(pairs, 4)
    no_image, no_caption = images.isnan().all(3).all(2).all(1), (token_ids == MASK).all(1)
    assert float((no_image & no_caption).float().mean()) < 0.03  # a part can happen to be all
    shares = [sum(way.share for way in WAYS if way[side] == 2) for side in (0, 1)]
    assert float(no_caption.float().mean()) == pytest.approx(shares[1], abs=0.04)
    assert float(no_image.float().mean()) == pytest.approx(shares[0], abs=0.08)
    assert sum(way.share for way in WAYS) == pytest.approx(1)


def test_pairs_without_an_image_stay_so(pairs: PairBatch):
    unknown = PairBatch(torch.full_like(pairs.images, torch.nan), pairs.token_ids)
    assert hide_parts(unknown, 4).images.isnan().all()


def test_the_seed_decides(pairs: PairBatch):
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(hide_parts(pairs, 4).token_ids)
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
