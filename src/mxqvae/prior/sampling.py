"""Sampling the prior: filter logits -> draw one code -> draw all codes.

B samples, T codes of a pair, N of them the caption's, K codes.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mxqvae.config import configuration
from mxqvae.errors import MxqvaeError
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior

BLOCK_SIZE = 64
"""Samples computed together, always: sample i is row i mod 64 of block i // 64, whatever else is asked for.

Matrix products of other shapes round differently, and a rounding can change a code: a fixed shape cannot.
"""


@configuration
class SamplingConfig:
    """How logits become a draw: divided by the temperature, then cut to top_k, then to top_p."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Below 1: safer; above: more varied."""
    top_k: Annotated[int, Field(ge=1)] | None = None
    """Only the k most likely codes; none: all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Only the most likely codes that together reach this probability; 1: all.

    The default removes unlikely codes that break a caption's grammar, and shifts the kinds' shares least.
    """


class Block(NamedTuple):
    """64 samples, some of them asked for."""

    indices: Tensor
    """(64, T)."""
    start: int
    """Number of the sample in row 0."""
    wanted: slice
    """The rows that were asked for."""


def sample_indices(
    prior: Prior, sampling: SamplingConfig, *, num: int, seed: int = 0, first: int = 0
) -> Iterator[Tensor]:
    """Draw samples `first` to `first + num` of `seed`, a block at a time, in order.

    Each sample is a function of (weights, sampling, seed, its number): not of `num` or `first`.

    Args:
        prior: In eval mode.
        num: Samples, at least 1.
        seed: In [0, 2^64).
        first: Number of the first sample, in [0, 2^63).

    Yields:
        Indices (b, T), b <= 64.

    Raises:
        MxqvaeError: A count or seed out of range, or a top_k above the codes that there are to choose from.
    """
    for block in sample_blocks(prior, sampling, num=num, seed=seed, first=first):
        yield block.indices[block.wanted]


def sample_blocks(
    prior: Prior, sampling: SamplingConfig, *, num: int, seed: int = 0, first: int = 0
) -> Iterator[Block]:
    """The same as whole blocks, for whoever goes on computing with them; see `sample_indices`."""
    check_sampling(prior, sampling, num=num, seed=seed, first=first)
    for start, wanted in blocks_of(num=num, first=first):
        samples = range(start, start + BLOCK_SIZE)
        yield Block(draw_samples(prior, sampling, seed=seed, samples=samples), start, wanted)


def blocks_of(*, num: int, first: int) -> Iterator[tuple[int, slice]]:
    """`start` and `wanted` of each block that holds any of the samples `first` to `first + num`, in order."""
    last = first + num
    for start in range(first - first % BLOCK_SIZE, last, BLOCK_SIZE):
        yield start, slice(max(first - start, 0), min(last - start, BLOCK_SIZE))


def check_numbers(*, num: int, seed: int, first: int) -> None:
    """Refuse numbers of samples that there are not; see `sample_indices`."""
    if num < 1:
        raise MxqvaeError(f"num must be at least 1, got {num}")
    if not 0 <= first < 2**63:
        raise MxqvaeError(f"first must be in [0, 2^63), got {first}")
    if not 0 <= seed < 2**64:
        raise MxqvaeError(f"seed must be in [0, 2^64), got {seed}")


def check_sampling(prior: Prior, sampling: SamplingConfig, *, num: int, seed: int, first: int) -> None:
    """Refuse what cannot be sampled; see `sample_indices`."""
    check_numbers(num=num, seed=seed, first=first)
    num_choices = prior.config.num_choices
    if sampling.top_k is not None and sampling.top_k > num_choices:
        raise MxqvaeError(
            f"top_k must be at most {num_choices}, the codes to choose from, got {sampling.top_k}"
        )


@torch.no_grad()
def draw_samples(
    prior: Prior,
    sampling: SamplingConfig,
    *,
    seed: int,
    samples: Sequence[int],
    attempt: int = 0,
    given: Tensor | None = None,
) -> Tensor:
    """Indices (B, T) of B samples of `seed` by their numbers, on the prior's device.

    How many are drawn together can change the roundings, see `BLOCK_SIZE`.

    Args:
        attempt: Each, from 0 to 2^64 - 1, draws the same samples anew.
        given: (B, T) indices that stay, such as a caption's, and -1 where one is to be drawn; None: all are.
    """
    length, device = prior.config.sequence_length, prior.head.weight.device
    noise = torch.stack([uniform_noise(seed, sample, length, attempt) for sample in samples]).to(device)
    indices = torch.empty(len(samples), length, dtype=torch.int64, device=device)
    sequences = PriorSequences(prior, len(samples))
    for position in prior.config.order:
        drawn = draw(filter_logits(sequences.step(), sampling), noise[:, position])
        if given is not None:
            drawn = torch.where(given[:, position] < 0, drawn, given[:, position])
        indices[:, position] = drawn
        sequences.append(indices[:, position])
    return indices


def filter_logits(logits: Tensor, sampling: SamplingConfig) -> Tensor:
    """Logits (B, K) over the temperature, -inf outside top_k and top_p; the most likely code always stays.

    So do codes exactly as likely as the last that stays. Logits come back float64 and shifted by a constant,
    the largest at 0.
    """
    # From the largest down and in float64, so that no temperature overflows.
    logits = (logits - logits.amax(-1, keepdim=True)).double() / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        smallest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, float("-inf"))
    if sampling.top_p < 1:
        probabilities = logits.softmax(-1)
        ordered = _descending(probabilities)
        num_kept = (ordered.cumsum(-1) - ordered < sampling.top_p).sum(-1, keepdim=True)
        logits = logits.masked_fill(probabilities < ordered.gather(1, num_kept - 1), float("-inf"))
    return logits


def _descending(x: Tensor) -> Tensor:
    """Each row of `x` (B, K), the largest first."""
    if x.device.type != "cpu":
        return x.sort(descending=True).values
    return torch.from_numpy(np.sort(x.numpy())).flip(1)  # takes a quarter of the time that torch's sort does


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """One code (B,) for each row of `logits` (B, K), by inversion of its distribution.

    Args:
        noise: (B,) float64, uniform in [0, 1).
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(cumulative, (noise * cumulative[:, -1])[:, None], right=True)[:, 0]


def uniform_noise(seed: int, sample: int, length: int, attempt: int = 0) -> Tensor:
    """`length` numbers in [0, 1), float64, that belong to this sample of this seed, each attempt (Philox)."""
    counter = np.array([0, attempt, 0, 0], dtype=np.uint64)
    raw = np.random.Philox(key=np.array([seed, sample], dtype=np.uint64), counter=counter).random_raw(length)
    return torch.from_numpy((raw >> np.uint64(11)) * 2.0**-53)
