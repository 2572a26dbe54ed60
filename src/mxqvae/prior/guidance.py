"""Classifier-free guidance: pairs follow given words more closely than the reader learned.

    guided logits = logits without the words + guidance * (logits with them - logits without them)

Ho and Salimans 2022, equation 6, with guidance = 1 + w, on logits of codes as in Make-A-Scene (Gafni et al.
2022). The prior, which never saw words, is the half without them; no training leaves words out for it.

P sequences, L words, K codes of the codebook.
"""

import torch
from torch import Tensor

from mxqvae.prior.reader import CaptionReader, ReadingSequences
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior


class GuidedSequences:
    """P sequences, each grown by two: one that reads its words, and one that does not."""

    def __init__(self, prior: Prior, reader: CaptionReader, token_ids: Tensor, guidance: float) -> None:
        """Begin empty sequences, one for each caption (P, L); words that are not known are [MASK]."""
        self._told = ReadingSequences(prior, reader, token_ids)
        self._untold = PriorSequences(prior, len(token_ids))
        self._guidance = guidance

    def step(self) -> Tensor:
        """Logits (P, K) of the next code of each; see `PriorSequences.step`."""
        return torch.lerp(self._untold.step(), self._told.step(), self._guidance)

    def append(self, indices: Tensor) -> None:
        """Let the sequences go on with `indices` (P)."""
        self._told.append(indices)
        self._untold.append(indices)
