"""Classifier-free guidance: images follow their captions' codes more or less closely than the prior learned.

    guided logits = logits without the caption + guidance * (logits with it - logits without it)

Ho and Salimans 2022, equation 6, with guidance = 1 + w, on logits of the image's codes as in Make-A-Scene
(Gafni et al. 2022). Those of the caption's codes are left as they are. Of a joint codebook these hold the
form of a sentence, such as the places it fills, and not its digits and colours (docs/design.md).

P sequences, K codes of the codebook.
"""

import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import Prior


class GuidedSequences:
    """P sequences, each grown beside another that has the same image and no caption."""

    def __init__(self, prior: Prior, num: int, guidance: float) -> None:
        """Begin `num` empty sequences.

        Raises:
            MxqvaeError: The prior does not draw captions first.
        """
        self._num_caption_codes = check_guidance(prior)
        self._num, self._guidance = num, guidance
        self._both = PriorSequences(prior, 2 * num)  # with their captions, then without
        self._no_code = torch.full((num,), prior.start_index, device=prior.head.weight.device)

    def step(self) -> Tensor:
        """Logits (P, K) of the next code of each; see `PriorSequences.step`."""
        told, untold = self._both.step().split(self._num)
        if self._both.num_steps < self._num_caption_codes:
            return told
        return untold + self._guidance * (told - untold)

    def append(self, codes: Tensor) -> None:
        """Let the sequences go on with `codes` (P)."""
        in_caption = self._both.num_steps < self._num_caption_codes
        self._both.append(torch.cat([codes, self._no_code if in_caption else codes]))

    def keep(self, rows: Tensor) -> None:
        """Go on with sequence `rows[i]` in place of sequence i, for all of `rows` (P)."""
        self._both.keep(torch.cat([rows, rows + self._num]))


def begin_sequences(prior: Prior, num: int, guidance: float) -> PriorSequences | GuidedSequences:
    """`num` empty sequences, guided where that changes anything; see `GuidedSequences`."""
    return PriorSequences(prior, num) if guidance == 1 else GuidedSequences(prior, num, guidance)


def check_guidance(prior: Prior) -> int:
    """Codes of a caption of a prior that can guide.

    Raises:
        MxqvaeError: The prior does not draw captions first.
    """
    if prior.config.caption_first is None:
        raise MxqvaeError("this prior does not draw captions first, so they cannot guide; leave guidance out")
    return prior.config.caption_first.num_codes
