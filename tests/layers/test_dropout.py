"""Dropout: what is dropped, what is kept, and what is drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mxqvae.layers.dropout import Dropout, drop

SHARES = st.floats(0, 0.95)


class TestDrop:
    @given(share=SHARES, size=st.integers(0, 70))
    def test_an_activation_is_zero_or_enlarged_alike(self, share: float, size: int):
        dropped = drop(torch.ones(size), share)
        kept = dropped[dropped != 0]
        assert dropped.shape == (size,)
        assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - share)), rtol=1e-3)

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
    def test_the_share_is_dropped(self, share: float):
        torch.manual_seed(0)
        num = 400_000
        dropped = float((drop(torch.ones(num), share) == 0).double().mean())
        assert dropped == pytest.approx(share, abs=5 * (share * (1 - share) / num) ** 0.5)

    def test_activations_are_drawn_independently(self):
        torch.manual_seed(0)
        kept = (drop(torch.ones(100_000, 8), 0.3) != 0).double()
        correlations = torch.corrcoef(kept.T) - torch.eye(8)
        assert correlations.abs().max() < 0.02

    @given(share=SHARES)
    def test_the_gradient_passes_where_the_activation_does(self, share: float):
        x = torch.rand(5, 7) + 1
        x.requires_grad_()
        dropped = drop(x, share)
        (gradient,) = torch.autograd.grad(dropped.sum(), x)
        assert torch.allclose(gradient * x, dropped)

    def test_a_seed_draws_the_same_on_any_number_of_threads(self):
        draws = []
        before = torch.get_num_threads()
        try:
            for num_threads in (1, 2):
                torch.set_num_threads(num_threads)
                torch.manual_seed(3)
                draws.append(drop(torch.ones(100_000), 0.2))
        finally:
            torch.set_num_threads(before)
        assert draws[0].equal(draws[1])

    def test_a_share_next_to_1_is_no_division_by_zero(self):
        assert drop(torch.ones(100), 1 - 1e-9).isfinite().all()

    def test_shape_and_precision_stay(self):
        dropped = drop(torch.ones(3, 5, 7, dtype=torch.bfloat16).transpose(0, 1), 0.1)
        assert dropped.shape == (5, 3, 7)
        assert dropped.dtype == torch.bfloat16


class TestDropout:
    def test_nothing_is_dropped_in_eval_mode(self):
        x = torch.rand(50)
        assert Dropout(0.5).eval()(x).equal(x)
        assert not Dropout(0.5)(x).equal(x)
