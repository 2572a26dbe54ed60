"""The quantizer: replaces each latent by its nearest code vector of one shared codebook.

B batch, T positions, D channels of a code, K codes.
"""

from typing import Annotated, NamedTuple

import torch
import torch.distributed as distributed
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration

LATENTS_AT_A_TIME = 128
"""Latents whose scores for all codes are held at once: 2,048 codes in one core's cache."""
SMALLEST_COUNT = 1e-5
"""Least count by which a sum of latents is divided."""
CODES_AT_A_TIME = 64
"""Codes of which the largest score is found first: torch finds a maximum fast, and its place slowly."""


class Quantized(NamedTuple):
    """What the quantizer makes of latents."""

    codes: Tensor
    """The nearest code vectors (B, T, D); their gradient passes straight through to the latents."""
    indices: Tensor
    """The codes' indices (B, T), in [0, K)."""
    codebook_loss: Tensor
    """Mean squared distance that moves code vectors towards latents; zero where an average moves them."""
    commitment_loss: Tensor
    """Mean squared distance that moves latents towards their code vectors, unweighted."""


@configuration
class QuantizerConfig:
    """A codebook, by default learned as in the official code: uniform start, plain gradient."""

    num_codes: Annotated[int, Field(ge=2)] = 256
    """Code vectors K."""
    code_size: Annotated[int, Field(ge=1)] = 128
    """Channels D of a code vector."""
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the old mean kept when a step moves a code to the mean of its latents; none: gradients."""
    reset_below: Annotated[float, Field(ge=0)] = 0.0
    """Codes that win fewer latents a step than this, on average, restart at a random latent; 0: never."""

    def __post_init__(self) -> None:
        if self.reset_below and self.average_decay is None:
            raise ValueError("reset_below needs average_decay, whose counts say which codes are dead")


class VectorQuantizer(nn.Module):
    """Nearest code vector, straight-through gradient (van den Oord et al. 2017, section 3.2)."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        codebook = torch.empty(config.num_codes, config.code_size)
        self.codebook = nn.Parameter(codebook.uniform_(-1 / config.num_codes, 1 / config.num_codes))

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize `latents` (B, T, D), in float32 whatever the autocast: bf16 errs for 1 code in 100."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            self.prepare(latents)
            indices = self.nearest(latents)
            codes = self.lookup(indices)
            codebook_loss = self.learn(latents, indices, codes)
            commitment_loss = F.mse_loss(latents, codes.detach())
            codes = latents + (codes - latents).detach()
        return Quantized(codes, indices, codebook_loss, commitment_loss)

    def nearest(self, latents: Tensor) -> Tensor:
        """Index of the code vector nearest to each latent (..., D); returns (...), int64."""
        # argmin |z - e|^2 = argmax (z·e - |e|^2 / 2): one addmm, |z|^2 drops out.
        flat, codebook = latents.detach().reshape(-1, latents.shape[-1]), self.codebook.detach()
        offsets = -codebook.square().sum(1) / 2
        # A few latents at a time: the scores of all would not fit the cache.
        nearest = [_argmax(torch.addmm(offsets, few, codebook.t())) for few in flat.split(LATENTS_AT_A_TIME)]
        return torch.cat(nearest).view(latents.shape[:-1])

    def lookup(self, indices: Tensor) -> Tensor:
        """Code vectors (..., D) of `indices` (...)."""
        return F.embedding(indices, self.codebook)

    def prepare(self, latents: Tensor) -> None:
        """Look at the latents (B, T, D) before they are quantized; a codebook with a fixed start need not."""

    def learn(self, latents: Tensor, indices: Tensor, codes: Tensor) -> Tensor:
        """The loss that moves the codebook: mean squared distance to the detached latents."""
        del indices
        return F.mse_loss(codes, latents.detach())


class AveragingVectorQuantizer(VectorQuantizer):
    """Each code is the moving average of the latents it wins (van den Oord et al. 2017, appendix A.1).

    The codebook starts at latents of the first batch, and codes that win next to nothing restart at a random
    latent of the batch: declared deviations from the paper, against its collapsing codebook.
    """

    counts: Tensor
    sums: Tensor
    position_weights: Tensor

    def __init__(self, config: QuantizerConfig, position_weights: Tensor) -> None:
        super().__init__(config)
        self.codebook.requires_grad_(False)
        self.register_buffer("position_weights", position_weights, persistent=False)
        self.register_buffer("counts", torch.zeros(config.num_codes))
        self.register_buffer("sums", torch.zeros(config.num_codes, config.code_size))

    @torch.no_grad()
    def prepare(self, latents: Tensor) -> None:
        """Start the codebook at latents of the first training batch."""
        if self.training and not self.counts.any():
            self._restart(torch.ones_like(self.counts, dtype=torch.bool), latents)

    @torch.no_grad()
    def learn(self, latents: Tensor, indices: Tensor, codes: Tensor) -> Tensor:
        """Move each code to the average of its latents; the loss is zero."""
        assert self.config.average_decay is not None
        if self.training:
            flat, keep = latents.flatten(0, 1), self.config.average_decay
            counts = torch.bincount(indices.flatten(), minlength=len(self.counts)).to(flat.dtype)
            sums = torch.zeros_like(self.sums).index_add_(0, indices.flatten(), flat)
            if distributed.is_initialized():
                distributed.all_reduce(counts)
                distributed.all_reduce(sums)
            self.counts.lerp_(counts, 1 - keep)
            self.sums.lerp_(sums, 1 - keep)
            self._restart(self.counts < self.config.reset_below, latents)
            # Of a code that has long won nothing hardly a count is left to divide by: it stays.
            counted = (self.counts > SMALLEST_COUNT)[:, None]
            self.codebook.copy_(torch.where(counted, self.sums / self.counts[:, None], self.codebook))
        return latents.new_zeros(())

    def _restart(self, dead: Tensor, latents: Tensor) -> None:
        """Put the `dead` codes (K) on random ones of `latents` (B, T, D)."""
        if dead.any():
            num = int(dead.sum())
            positions = self.position_weights.multinomial(num, replacement=True)
            rows = latents[torch.randint(len(latents), (num,), device=latents.device), positions]
            if distributed.is_initialized():
                distributed.broadcast(rows, src=0)
            # On the threshold, however low: a code that wins nothing there moves on with the next step.
            start = self.config.reset_below or 1.0
            self.counts[dead] = start
            self.sums[dead] = rows * start
            self.codebook[dead] = rows


def build_quantizer(config: QuantizerConfig, position_weights: Tensor) -> VectorQuantizer:
    """The quantizer that learns its codebook as the config says.

    Args:
        position_weights: (T,), how often a code starts or restarts at a latent of each position, relatively.
    """
    if config.average_decay is None:
        return VectorQuantizer(config)
    return AveragingVectorQuantizer(config, position_weights)


def codebook_perplexity(usage: Tensor) -> Tensor:
    """Exponential of the entropy of code usage counts (K); from 1 (one code) to K (all used equally)."""
    share = usage / usage.sum()
    return torch.exp(-torch.xlogy(share, share).sum())


def _argmax(scores: Tensor) -> Tensor:
    """Place of the largest of each row of `scores` (N, K), the first of equal ones."""
    num, num_codes = scores.shape
    if num_codes % CODES_AT_A_TIME:
        return scores.argmax(dim=1)
    blocks = scores.view(num, num_codes // CODES_AT_A_TIME, CODES_AT_A_TIME)
    best = blocks.amax(dim=2).argmax(dim=1)
    within = blocks[torch.arange(num, device=scores.device), best].argmax(dim=1)
    return best * CODES_AT_A_TIME + within
