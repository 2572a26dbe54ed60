"""The prior code by code, for several sequences at once, of which some can be dropped and others doubled.

P sequences, T codes of a pair, W the prior's width, K codes of the codebook.
"""

import torch
from torch import Tensor

from mxqvae.prior.transformer import Prior


class PriorSequences:
    """P sequences that grow by one code at a time, chosen by whoever drives them."""

    def __init__(self, prior: Prior, num: int) -> None:
        """Begin `num` empty sequences."""
        self.prior, self.num_steps = prior, 0
        self._past = prior.transformer.empty_cache(num, prior.config.sequence_length)
        self._last = torch.full((num,), prior.start_index, device=prior.head.weight.device)

    def step(self) -> Tensor:
        """Logits (P, K) of the codes next in `PriorConfig.order`; call `append` before the next step."""
        x = (self.prior.embedding(self._last) + self.prior.positions[self.num_steps])[:, None]
        return self.prior.score(self._through_layers(x)[:, 0], self.num_steps)

    def _through_layers(self, x: Tensor) -> Tensor:
        """The last layer's output (P, 1, W) of the codes `x` (P, 1, W) of this step."""
        return self.prior.transformer.step(x, self._past, self.num_steps)

    def append(self, indices: Tensor) -> None:
        """Let the sequences go on with `indices` (P)."""
        self._last = indices
        self.num_steps += 1

    def keep(self, rows: Tensor) -> None:
        """Go on with sequence `rows[i]` in place of sequence i, for all of `rows` (P)."""
        self._last = self._last[rows]
        for keys, values in self._past:
            keys[:, :, : self.num_steps] = keys[rows, :, : self.num_steps]
            values[:, :, : self.num_steps] = values[rows, :, : self.num_steps]
