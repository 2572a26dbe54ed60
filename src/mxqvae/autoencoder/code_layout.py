"""Code layout: which stretch of a pair's code sequence comes from which vocabulary.

Where both halves of a pair share one codebook, every code may stand anywhere and there are no segments. Where
they do not, each segment has a vocabulary of its own, and the vocabularies are numbered through in the order
of the segments: with K1 and K2 codes, [0, K1) in the first segment and [K1, K1 + K2) in the second.

B batch, T codes of a pair, K codes of all vocabularies.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mxqvae.config import configuration


@configuration
class Segment:
    """A stretch of the code sequence with a vocabulary of its own."""

    modality: Literal["image", "text"]
    """The half of the pair that it stands for."""
    length: Annotated[int, Field(ge=1)]
    """Codes in it."""
    num_codes: Annotated[int, Field(ge=1)]
    """Codes of its vocabulary."""


def total_length(segments: Sequence[Segment]) -> int:
    """Codes T of a pair."""
    return sum(segment.length for segment in segments)


def total_codes(segments: Sequence[Segment]) -> int:
    """Codes K of all vocabularies."""
    return sum(segment.num_codes for segment in segments)


def vocabularies(segments: Sequence[Segment]) -> list[range]:
    """The codes of each segment; together they are [0, K)."""
    ends = accumulate((segment.num_codes for segment in segments), initial=0)
    return [range(start, stop) for start, stop in pairwise(ends)]


def join_codes(segments: Sequence[Segment], parts: Sequence[Tensor]) -> Tensor:
    """One sequence (B, T) of each segment's own codes (B, length), which count from 0."""
    starts = (codes.start for codes in vocabularies(segments))
    return torch.cat([part + start for part, start in zip(parts, starts, strict=True)], dim=1)


def split_codes(segments: Sequence[Segment], indices: Tensor) -> list[Tensor]:
    """The inverse of `join_codes`."""
    parts = indices.split([segment.length for segment in segments], dim=1)
    return [part - codes.start for part, codes in zip(parts, vocabularies(segments), strict=True)]


def possible_codes(segments: Sequence[Segment]) -> Tensor:
    """Boolean (T, K): whether a code can stand at a position."""
    every_code = torch.arange(total_codes(segments))
    return torch.cat(
        [
            ((codes.start <= every_code) & (every_code < codes.stop)).expand(segment.length, -1)
            for segment, codes in zip(segments, vocabularies(segments), strict=True)
        ]
    )
