import math

import pytest
import torch
from torch.distributions import Laplace

from mxqvae.autoencoder.image import ImageConfig, normalise
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.baselines.mmvae import MMVAE, MMVAEConfig, MMVAELosses
from mxqvae.data.batch import PairBatch
from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import TransformerConfig

LAYER = TransformerConfig(num_layers=1, width=16, num_heads=2)


@pytest.fixture
def model() -> MMVAE:
    torch.manual_seed(0)
    text = AttentiveTextConfig(num_latents=4, encoder=LAYER, decoder=LAYER)
    image = ImageConfig(image_size=16, strides=(4, 2), widths=(8, 16), num_residual_blocks=1)
    config = MMVAEConfig(vocab_size=20, caption_length=8, image=image, text=text, latent_size=8, joint_size=6)
    return MMVAE(config).eval()


@pytest.fixture
def batch() -> PairBatch:
    torch.manual_seed(1)
    token_ids = torch.randint(5, 20, (3, 8))
    token_ids[0, 5:] = 0
    return PairBatch(torch.rand(3, 3, 16, 16), token_ids)


def test_each_half_has_a_latent_of_its_own(model: MMVAE, batch: PairBatch):
    image, text = model.encode(batch)
    assert image.shape == text.shape == (3, 6)
    other = PairBatch(batch.images, batch.token_ids.roll(1, 0))
    other_image, other_text = model.encode(other)
    assert other_image.equal(image)
    torch.testing.assert_close(other_text, text.roll(1, 0))


def test_both_halves_are_decoded(model: MMVAE, batch: PairBatch):
    image, text = model.encode(batch)
    pairs = model.decode(image, text)
    assert pairs.images.shape == (3, 3, 16, 16)
    assert 0 <= pairs.images.min() <= pairs.images.max() <= 1
    assert pairs.token_ids.shape == (3, 8)
    assert model.decode(text, text).token_ids.equal(pairs.token_ids)


def test_the_scales_of_the_prior_keep_their_sum(model: MMVAE):
    torch.nn.init.normal_(model.log_prior_scales)
    assert isinstance(model.prior, Laplace)
    assert model.prior.scale.sum().item() == pytest.approx(6)


def test_the_loss_is_the_one_of_its_formula(model: MMVAE, batch: PairBatch):
    torch.manual_seed(5)
    losses = model.loss(batch)
    torch.manual_seed(5)
    q_image, q_text = model.posteriors(batch)
    total = 0.0
    for q in (q_image, q_text):
        z = q.rsample()
        image = (model.decode_images(z) - normalise(batch.images)).abs().mean() / 0.1
        shares = model.decode_captions(z).log_softmax(-1)
        known = batch.token_ids != 0
        caption = -shares.gather(2, batch.token_ids[..., None])[..., 0][known].mean()
        densities = torch.stack([q_image.log_prob(z).sum(1).exp(), q_text.log_prob(z).sum(1).exp()])
        divergence = (densities.mean(0).log() - model.prior.log_prob(z).sum(1)).mean()
        total += (image + caption + divergence / (known.sum() / 3)).item() / 2
    assert losses.total.item() == pytest.approx(total, rel=1e-4)


def test_equal_posteriors_at_the_prior_cost_nothing(
    model: MMVAE, batch: PairBatch, monkeypatch: pytest.MonkeyPatch
):
    prior = Laplace(torch.zeros(3, 6), torch.ones(3, 6))
    monkeypatch.setattr(model, "posteriors", lambda batch: (prior, prior))
    assert model.loss(batch).divergence.item() == pytest.approx(0, abs=1e-5)


def test_posteriors_apart_cost_the_nats_that_tell_them_apart(
    model: MMVAE, batch: PairBatch, monkeypatch: pytest.MonkeyPatch
):
    # Each is far from the other: the mixture has half the density of its component.
    def far(shift: float) -> Laplace:
        return Laplace(torch.full((3, 6), float(shift)), torch.ones(3, 6))

    monkeypatch.setattr(model, "posteriors", lambda batch: (far(100), far(-100)))
    losses = model.loss(batch)
    assert losses.divergence.item() == pytest.approx(6 * 100 - math.log(2), rel=0.05)


def test_every_parameter_learns(model: MMVAE, batch: PairBatch):
    losses = model.loss(batch)
    losses.total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    figures = model.summarise(MMVAELosses(*(value.detach() for value in losses)), 1)
    assert list(figures) == ["total", "image", "caption", "divergence", "words_right"]


def test_captions_that_cannot_be_cut_are_refused():
    from mxqvae.config import from_json, to_json

    image = ImageConfig(image_size=16, strides=(4, 2), widths=(8, 16))
    config = MMVAEConfig(
        vocab_size=20, caption_length=8, image=image, text=AttentiveTextConfig(num_latents=4)
    )
    with pytest.raises(MxqvaeError, match="captions of 9 words cannot be divided among 4 latents"):
        from_json(MMVAEConfig, to_json(config).replace('"caption_length": 8', '"caption_length": 9'), "it")
