from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from mxqvae.layers import transformer as module
from mxqvae.layers.transformer import Attention, Transformer, TransformerConfig, TransformerLayer


def config(**changes: Any) -> TransformerConfig:
    sizes: dict[str, Any] = {"num_layers": 2, "width": 12, "num_heads": 3}
    return TransformerConfig(**(sizes | changes))


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_feedforward(ours: TransformerLayer, theirs: Any) -> None:
    theirs.linear1.load_state_dict(ours.feedforward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feedforward[2].state_dict())


def options(norm_first: bool) -> dict[str, Any]:
    def gelu(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    return {
        "d_model": 12,
        "nhead": 3,
        "dim_feedforward": 48,
        "activation": gelu,
        "batch_first": True,
        "norm_first": norm_first,
    }


@pytest.fixture(params=[128, 0], ids=["plain", "fused"])
def longest_plain_attention(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the test with both ways to compute attention."""
    monkeypatch.setattr(module, "LONGEST_PLAIN_ATTENTION", request.param)
    return request.param


@pytest.mark.usefixtures("longest_plain_attention")
class TestAgainstTorch:
    @pytest.mark.parametrize("norm_first", [True, False])
    @pytest.mark.parametrize("causal", [True, False])
    @torch.no_grad()
    def test_an_encoder_layer(self, norm_first: bool, causal: bool):
        ours = TransformerLayer(config(norm_first=norm_first), causal=causal).eval()
        theirs = nn.TransformerEncoderLayer(**options(norm_first)).eval()
        for norm in (ours.attention_norm, ours.feedforward_norm):
            nn.init.normal_(norm.weight)
        copy_attention(ours.attention, theirs.self_attn)
        copy_feedforward(ours, theirs)
        theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
        theirs.norm2.load_state_dict(ours.feedforward_norm.state_dict())
        x = torch.randn(2, 7, 12)
        mask = nn.Transformer.generate_square_subsequent_mask(7) if causal else None
        torch.testing.assert_close(ours(x), theirs(x, src_mask=mask), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("norm_first", [True, False])
    @torch.no_grad()
    def test_a_layer_that_reads_a_memory(self, norm_first: bool):
        ours = TransformerLayer(config(norm_first=norm_first), reads_memory=True).eval()
        theirs = nn.TransformerDecoderLayer(**options(norm_first)).eval()
        assert ours.cross_attention is not None
        copy_attention(ours.attention, theirs.self_attn)
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        copy_feedforward(ours, theirs)
        x, memory = torch.randn(2, 5, 12), torch.randn(2, 9, 12)
        torch.testing.assert_close(ours(x, memory), theirs(x, memory), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_both_ways_to_attend_are_the_same_function(causal: bool, monkeypatch: pytest.MonkeyPatch):
    attention = Attention(config(), causal=causal)
    x = torch.randn(2, 9, 12, requires_grad=True)
    results = []
    for longest in (128, 0):
        monkeypatch.setattr(module, "LONGEST_PLAIN_ATTENTION", longest)
        attended = attention(x, x)
        results.append((attended, *torch.autograd.grad(attended.square().sum(), x)))
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(plain, fused)


class TestTransformer:
    def test_norms_that_come_first_need_one_at_the_end(self):
        assert isinstance(Transformer(config()).norm, nn.LayerNorm)
        assert isinstance(Transformer(config(norm_first=False)).norm, nn.Identity)

    def test_the_stack_applies_its_layers_in_turn(self):
        stack = Transformer(config())
        x = torch.randn(2, 5, 12)
        expected = stack.norm(stack.layers[1](stack.layers[0](x)))
        torch.testing.assert_close(stack(x), expected)

    def test_a_causal_stack_does_not_see_what_comes_later(self):
        stack = Transformer(config(), causal=True).eval()
        x = torch.randn(2, 8, 12)
        changed = x.clone()
        changed[:, 5] = torch.randn(12)
        before, after = stack(x), stack(changed)
        assert before[:, :5].equal(after[:, :5])
        assert not before[:, 5:].isclose(after[:, 5:]).all(-1).any()

    def test_a_stack_without_order_sees_everything(self):
        stack = Transformer(config()).eval()
        x = torch.randn(1, 6, 12)
        order = torch.randperm(6)
        torch.testing.assert_close(stack(x[:, order]), stack(x)[:, order])

    @pytest.mark.parametrize("norm_first", [True, False])
    def test_stepping_with_a_cache_is_the_whole_sequence_at_once(self, norm_first: bool):
        stack = Transformer(config(norm_first=norm_first), causal=True).eval()
        x = torch.randn(3, 10, 12)
        with torch.no_grad():
            past = stack.empty_cache(3, 10)
            steps = [stack.step(x[:, t : t + 1], past, t) for t in range(10)]
            torch.testing.assert_close(torch.cat(steps, dim=1), stack(x))

    def test_dropout_works_in_training_only(self):
        stack = Transformer(config(dropout=0.5))
        x = torch.randn(2, 5, 12)
        assert not stack(x).equal(stack(x))
        stack.eval()
        assert stack(x).equal(stack(x))


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="width 10 is not a multiple of num_heads 3"):
        config(width=10)


@pytest.mark.parametrize("change", [{"num_layers": 0}, {"width": 0}, {"num_heads": 0}, {"dropout": 1.0}])
def test_impossible_sizes_are_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        config(**change)
