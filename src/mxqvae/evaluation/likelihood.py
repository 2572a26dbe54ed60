"""Bits of real pairs: of their codes under stage 2, of their words under stage 1.

    bits(code t) = -log2 p(code t | codes before it)        bits(word) = -log2 p(word | all codes)

Bits of the codes are not those of the pair. A stage 1 that keeps less of a pair needs fewer of them, so that
rows with different stages 1 can be compared only together with the errors of their reconstructions. Nor does
the split say what a modality costs by itself: the second half is cheaper by what the first has told.
docs/likelihood.md tells more.

B batch, N pairs, T codes of a pair, K codes of the codebook or of all vocabularies, L words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pair_fit import PairLikelihood
from mxqvae.generation.pipeline import PAIRS_MEASURED_TOGETHER, PairGenerator
from mxqvae.output_file import new_output_file
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior
from mxqvae.progress import NoProgress, Progress

PAIRS_AT_A_TIME = 250


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Mean over pairs of the bits of some or all of their codes."""

    num_codes: int
    """Codes of a pair that are counted."""
    per_pair: float
    """Bits of all of these together."""
    standard_error: float | None
    """Of `per_pair`, pairs taken as independent; None for a single pair."""
    per_code: float
    """Bits of one of them."""


@dataclass(frozen=True, kw_only=True)
class WordBits:
    """Mean over pairs of the bits of their words, [END] among them, given all codes."""

    per_pair: float
    """Bits of all words of a caption together."""
    standard_error: float | None
    """Of `per_pair`, pairs taken as independent; None for a single pair."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodScore:
    """Bits of a set of pairs; `dataclasses.asdict` of it is plain JSON."""

    num_pairs: int
    """Pairs measured."""
    all_codes: Bits
    """Whole pairs."""
    image_codes: Bits
    """The codes at the image's positions, given the codes before them."""
    text_codes: Bits
    """The codes at the caption's positions, given the codes before them."""
    words: WordBits | None = None
    """The captions, given the codes; None where they were not measured."""


def measure_likelihood(
    prior: Prior, indices: Tensor, image_positions: slice, *, progress: Progress = NoProgress()
) -> LikelihoodScore:
    """Measure the codes of real pairs, in batches that do not matter.

    Args:
        prior: In eval mode.
        indices: (N, T), what the prior's own stage 1 made of pairs outside its training set.
        image_positions: Which of the T codes are the image's, see `image_positions_of`.

    Raises:
        MxqvaeError: No pairs, or a code that the prior holds impossible.
    """
    if len(indices) == 0:
        raise MxqvaeError("no pairs to measure; give at least one")
    parts = []
    with progress.task("likelihood", total=len(indices), unit="pairs") as advance:
        for batch in indices.split(PAIRS_AT_A_TIME):
            parts.append(code_bits(prior, batch))
            advance(len(batch))
    bits = torch.cat(parts)
    impossible = (~bits.isfinite()).nonzero()
    if len(impossible):
        pair, position = impossible[0].tolist()
        raise MxqvaeError(
            f"code {position} of pair {pair} is {int(indices[pair, position])}, which the prior holds "
            "impossible there; encode the pairs with the autoencoder that it was trained on"
        )
    return _score(bits, image_positions)


def measure_pairs(
    generator: PairGenerator, pairs: PairDataset, *, progress: Progress = NoProgress()
) -> PairLikelihood:
    """The bits of every pair, on the CPU; see `PairGenerator.likelihood`.

    Args:
        pairs: Whole pairs.

    Raises:
        MxqvaeError: No pairs, or what `PairGenerator.likelihood` raises.
    """
    if len(pairs) == 0:
        raise MxqvaeError("no pairs to measure; give at least one")
    blocks = []
    with progress.task("likelihood", total=len(pairs), unit="pairs") as advance:
        for rows in torch.arange(len(pairs)).split(PAIRS_MEASURED_TOGETHER):
            images = pairs.images[pairs.image_numbers[rows]].numpy()
            blocks.append(generator.likelihood(images, [pairs.captions[row] for row in rows]))
            advance(len(rows))
    return PairLikelihood(*map(torch.cat, zip(*blocks, strict=True)))


def score_likelihood(measured: PairLikelihood, image_positions: slice) -> LikelihoodScore:
    """The means over the pairs of `measured`."""
    totals = measured.word_bits.sum(1)
    words = WordBits(per_pair=float(totals.mean()), standard_error=_standard_error(totals))
    return replace(_score(measured.code_bits, image_positions), words=words)


def write_likelihood_table(
    path: Path, captions: Sequence[str], measured: PairLikelihood, image_positions: slice
) -> None:
    """Write a parquet file with a row for each pair.

    Its columns: pair (from 0), caption; image_code_bits, caption_code_bits and word_bits, which are sums; and
    as lists bits_by_code (T, those of the image's codes first) and bits_by_word (L, 0 for padding).

    Args:
        captions: N, of the pairs of `measured`.
    """
    is_image = _is_image(measured.code_bits, image_positions)
    table = pa.table(
        {
            "pair": range(len(captions)),
            "caption": captions,
            "image_code_bits": measured.code_bits[:, is_image].sum(1).numpy(),
            "caption_code_bits": measured.code_bits[:, ~is_image].sum(1).numpy(),
            "word_bits": measured.word_bits.sum(1).numpy(),
            "bits_by_code": measured.code_bits.tolist(),
            "bits_by_word": measured.word_bits.tolist(),
        }
    )
    with new_output_file(path) as partial:
        pq.write_table(table, partial)


def _score(bits: Tensor, image_positions: slice) -> LikelihoodScore:
    is_image = _is_image(bits, image_positions)
    return LikelihoodScore(
        num_pairs=len(bits),
        all_codes=_summarise(bits),
        image_codes=_summarise(bits[:, is_image]),
        text_codes=_summarise(bits[:, ~is_image]),
    )


def _is_image(bits: Tensor, image_positions: slice) -> Tensor:
    """(T,) bool: whether a code stands for the image."""
    is_image = torch.zeros(bits.shape[1], dtype=torch.bool)
    is_image[image_positions] = True
    return is_image


def image_positions_of(config: AutoencoderConfig) -> slice:
    """Which codes of a sequence stand at the image's positions."""
    if isinstance(config, MXQVAEConfig):
        return slice(0, config.num_image_codes)
    first, _ = config.segments
    return slice(0, first.length) if first.modality == "image" else slice(first.length, None)


def _summarise(bits: Tensor) -> Bits:
    """Mean over pairs of bits (N, number of codes)."""
    totals = bits.sum(1)
    error = _standard_error(totals)
    mean = float(totals.mean())
    num_codes = bits.shape[1]
    return Bits(num_codes=num_codes, per_pair=mean, standard_error=error, per_code=mean / num_codes)


def _standard_error(totals: Tensor) -> float | None:
    """Of the mean of `totals` (N)."""
    return float(totals.std() / math.sqrt(len(totals))) if len(totals) > 1 else None
