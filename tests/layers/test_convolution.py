import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mxqvae.layers.convolution import DownsamplingConvolution, ResidualBlock, UpsamplingConvolution

SIZES = [(3, 8, 2, 16), (3, 5, 4, 16), (7, 4, 8, 8)]
"""Channels in and out, stride, cells a side at the lower resolution times the stride."""


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("in_channels", "out_channels", "stride", "size"), SIZES)
def test_downsampling_is_a_strided_convolution(in_channels: int, out_channels: int, stride: int, size: int):
    ours = DownsamplingConvolution(in_channels, out_channels, stride)
    oracle = nn.Conv2d(in_channels, out_channels, 2 * stride, stride, stride // 2)
    assert num_parameters(ours) == num_parameters(oracle)
    with torch.no_grad():
        # (out, in·s·s, 2, 2) -> (out, in, 2·s, 2·s): each of the 2x2 taps becomes s x s.
        taps = ours.convolution.weight.unflatten(1, (in_channels, stride, stride))
        oracle.weight.copy_(taps.permute(0, 1, 4, 2, 5, 3).reshape(oracle.weight.shape))
        assert ours.convolution.bias is not None
        assert oracle.bias is not None
        oracle.bias.copy_(ours.convolution.bias)
    x = torch.randn(2, in_channels, size, size)
    assert ours(x).shape == (2, out_channels, size // stride, size // stride)
    torch.testing.assert_close(ours(x), oracle(x))


@pytest.mark.parametrize(("in_channels", "out_channels", "stride", "size"), SIZES)
def test_upsampling_is_a_transposed_convolution(in_channels: int, out_channels: int, stride: int, size: int):
    ours = UpsamplingConvolution(in_channels, out_channels, stride)
    oracle = nn.ConvTranspose2d(in_channels, out_channels, 2 * stride, stride, stride // 2)
    assert num_parameters(ours) == num_parameters(oracle)
    nn.init.normal_(ours.bias)
    with torch.no_grad():
        # A transposed convolution turns its kernel round, a convolution does not.
        taps = ours.convolution.weight.flip(2, 3).unflatten(0, (out_channels, stride, stride))
        oracle.weight.copy_(taps.permute(3, 0, 4, 1, 5, 2).reshape(oracle.weight.shape))
        assert oracle.bias is not None
        oracle.bias.copy_(ours.bias)
    x = torch.randn(2, in_channels, size // stride, size // stride)
    assert ours(x).shape == (2, out_channels, size, size)
    torch.testing.assert_close(ours(x), oracle(x))


def test_the_residual_block_skips_with_what_the_first_relu_left():
    block = ResidualBlock(4)
    x = torch.randn(2, 4, 6, 6)
    nn.init.zeros_(block.projection.weight)
    assert block(x).equal(F.relu(x))


def test_the_residual_block_adds_two_convolutions():
    block = ResidualBlock(4)
    assert num_parameters(block) == 4 * 4 * (9 + 1)
    x = torch.randn(2, 4, 6, 6).abs()
    inner = F.relu(F.conv2d(x, block.convolution.weight, padding=1))
    torch.testing.assert_close(block(x), x + F.conv2d(inner, block.projection.weight))


def test_the_residual_block_does_not_write_into_its_input():
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    ResidualBlock(4)(x)
    assert x.equal(before)
