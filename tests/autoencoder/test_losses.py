import pytest
import torch

from mxqvae.autoencoder.losses import codebook_figures, mean_losses, total_losses
from mxqvae.autoencoder.quantizer import Quantized

QUANTIZED = Quantized(
    codes=torch.zeros(1, 3, 2),
    indices=torch.tensor([[0, 2, 2]]),
    codebook_loss=torch.tensor(0.5),
    commitment_loss=torch.tensor(4.0),
)


def test_the_total_is_what_the_official_code_adds_up():
    image, caption = torch.tensor(1.0), torch.tensor(2.0)
    losses = total_losses(QUANTIZED, 4, 0.25, image=image, caption=caption)
    assert float(losses.total) == 1 + 2 + 0.5 + 0.25 * 4
    assert (float(losses.codebook), float(losses.commitment)) == (0.5, 4)
    assert losses.usage.tolist() == [1, 0, 2, 0]


def test_a_modality_that_is_not_read_costs_nothing():
    losses = total_losses(QUANTIZED, 4, 0.25, image=torch.tensor(1.0))
    assert float(losses.total) == 1 + 0.5 + 0.25 * 4
    assert (float(losses.caption), float(losses.words_right), float(losses.perceptual)) == (0, 0, 0)


def test_a_perceptual_loss_is_weighed_and_logged_unweighted():
    image, perceptual = torch.tensor(1.0), torch.tensor(0.5)
    losses = total_losses(QUANTIZED, 4, 0.25, image=image, perceptual=perceptual, perceptual_weight=0.2)
    assert float(losses.total) == pytest.approx(1 + 0.5 + 0.25 * 4 + 0.2 * 0.5)
    assert float(losses.perceptual) == 0.5


def test_means_leave_the_usage_to_the_codebook_s_figures():
    losses = total_losses(QUANTIZED, 4, 0.25, caption=torch.tensor(3.0), words_right=torch.tensor(0.5))
    assert mean_losses(losses, 2) == {
        "total": 2.25,
        "image": 0,
        "perceptual": 0,
        "caption": 1.5,
        "codebook": 0.25,
        "commitment": 2,
        "words_right": 0.25,
    }
    figures = codebook_figures(losses.usage)
    assert figures == {
        "codebook_perplexity": pytest.approx((1 / 3) ** (-1 / 3) * (2 / 3) ** (-2 / 3)),
        "dead_codes": 2,
    }
