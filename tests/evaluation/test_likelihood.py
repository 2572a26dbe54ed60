import io
import json
import math
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mxqvae.autoencoder.code_layout import Segment
from mxqvae.autoencoder.concatenated import ConcatenatedConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import likelihood
from mxqvae.evaluation.likelihood import (
    image_positions_of,
    measure_likelihood,
    measure_pairs,
    score_likelihood,
    write_likelihood_table,
)
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.bits import code_bits
from mxqvae.prior.transformer import Prior, PriorConfig
from mxqvae.progress import LineProgress

SMALL = PriorConfig(
    num_codes=9,
    sequence_length=11,
    transformer=TransformerConfig(num_layers=2, width=12, num_heads=3, dropout=0.1),
)
IMAGE, TEXT = (
    Segment(modality="image", length=2, num_codes=4),
    Segment(modality="text", length=1, num_codes=3),
)
SEGMENTED = replace(SMALL, num_codes=7, sequence_length=3, segments=(IMAGE, TEXT))


def sharp_prior(config: PriorConfig = SMALL) -> Prior:
    """An untrained prior with opinions."""
    prior = Prior(config).eval()
    prior.head.weight.data *= 100
    return prior


def uniform_prior(config: PriorConfig) -> Prior:
    prior = Prior(config).eval()
    prior.head.weight.data.zero_()
    return prior


class TestScore:
    def test_the_parts_are_those_of_the_positions(self):
        prior, indices = sharp_prior(), torch.randint(9, (6, 11))
        bits = code_bits(prior, indices)
        for positions in (slice(0, 8), slice(3, None)):
            score = measure_likelihood(prior, indices, positions)
            image, text, both = score.image_codes, score.text_codes, score.all_codes
            assert image.per_pair == pytest.approx(float(bits[:, positions].sum(1).mean()))
            assert both.per_pair == pytest.approx(image.per_pair + text.per_pair)
            assert (both.num_codes, image.num_codes, text.num_codes) == (11, 8, 3)
            assert text.per_code == pytest.approx(text.per_pair / 3)
            assert score.num_pairs == 6

    def test_the_standard_error(self):
        prior, indices = sharp_prior(), torch.randint(9, (6, 11))
        error = statistics.stdev(code_bits(prior, indices).sum(1).tolist()) / math.sqrt(6)
        assert measure_likelihood(prior, indices, slice(0, 8)).all_codes.standard_error == pytest.approx(
            error
        )
        assert measure_likelihood(prior, indices[:1], slice(0, 8)).all_codes.standard_error is None

    def test_batches_and_order_do_not_matter(self, monkeypatch: pytest.MonkeyPatch):
        prior, indices = sharp_prior(), torch.randint(9, (10, 11))
        whole = measure_likelihood(prior, indices, slice(0, 8))
        monkeypatch.setattr(likelihood, "PAIRS_AT_A_TIME", 3)
        parts = measure_likelihood(prior, indices.flip(0), slice(0, 8))
        assert parts.all_codes.per_pair == pytest.approx(whole.all_codes.per_pair, rel=1e-5)
        assert parts.text_codes.standard_error == pytest.approx(whole.text_codes.standard_error, rel=1e-4)

    def test_progress_counts_pairs(self):
        stream = io.StringIO()
        indices = torch.randint(9, (4, 11))
        measure_likelihood(sharp_prior(), indices, slice(0, 8), progress=LineProgress(stream))
        assert stream.getvalue().startswith("likelihood: 4 pairs in ")

    def test_it_is_plain_json(self):
        tree = asdict(measure_likelihood(sharp_prior(), torch.randint(9, (4, 11)), slice(0, 8)))
        assert json.loads(json.dumps(tree, allow_nan=False)) == tree

    def test_messages(self):
        with pytest.raises(MxqvaeError, match="no pairs to measure; give at least one"):
            measure_likelihood(sharp_prior(), torch.zeros(0, 11, dtype=torch.int64), slice(0, 8))
        indices = torch.tensor([[0, 3, 4], [0, 5, 6]])
        with pytest.raises(
            MxqvaeError, match="code 1 of pair 1 is 5, which the prior holds impossible there"
        ):
            measure_likelihood(uniform_prior(SEGMENTED), indices, slice(0, 2))


class TestPairs:
    @pytest.fixture
    def pairs(self, caption_mnist_small: Path) -> PairDataset:
        """The first 23 test pairs, each image twice but the last."""
        test = PairDataset.from_parquet(caption_mnist_small, "test")
        numbers = torch.arange(23) // 2
        return PairDataset(test.images[:12], test.captions[:23], image_numbers=numbers)

    def test_they_are_those_of_the_generator(self, tiny_generator: PairGenerator, pairs: PairDataset):
        measured = measure_pairs(tiny_generator, pairs)
        images = pairs.images[pairs.image_numbers].numpy()
        for bits, expected in zip(measured, tiny_generator.likelihood(images, pairs.captions), strict=True):
            assert bits.equal(expected)

    def test_the_score_is_their_mean(self, tiny_generator: PairGenerator, pairs: PairDataset):
        measured = measure_pairs(tiny_generator, pairs)
        score = score_likelihood(measured, slice(0, 4))
        assert score.words is not None
        assert score.words.per_pair == pytest.approx(float(measured.word_bits.sum(1).mean()))
        assert score.words.standard_error == pytest.approx(float(measured.word_bits.sum(1).std()) / 23**0.5)
        assert score.all_codes.per_pair + score.words.per_pair == pytest.approx(
            float(measured.pair_bits().mean())
        )
        assert (score.image_codes.num_codes, score.text_codes.num_codes) == (4, 4)

    def test_the_table_has_a_row_for_each(
        self, tiny_generator: PairGenerator, pairs: PairDataset, tmp_path: Path
    ):
        measured = measure_pairs(tiny_generator, pairs)
        write_likelihood_table(tmp_path / "table.parquet", pairs.captions, measured, slice(0, 4))
        table = pq.read_table(tmp_path / "table.parquet")
        assert table["pair"].to_pylist() == list(range(23))
        assert table["caption"].to_pylist() == pairs.captions
        parts = [table[f"{part}_bits"].to_numpy() for part in ("image_code", "caption_code", "word")]
        torch.testing.assert_close(torch.from_numpy(sum(parts)), measured.pair_bits())
        assert table["bits_by_code"].to_pylist() == measured.code_bits.tolist()
        assert table["bits_by_word"].to_pylist() == measured.word_bits.tolist()

    def test_messages(self, tiny_generator: PairGenerator, pairs: PairDataset):
        nothing = PairDataset(pairs.images, [], image_numbers=torch.zeros(0, dtype=torch.int64))
        with pytest.raises(MxqvaeError, match="no pairs to measure; give at least one"):
            measure_pairs(tiny_generator, nothing)


class TestImagePositions:
    def test_of_a_joint_autoencoder(self):
        assert image_positions_of(MXQVAEConfig(vocab_size=9)) == slice(0, 64)

    def test_of_concatenated_parts_in_either_order(self):
        image = ImageVQVAEConfig()
        text = CaptionTokensConfig(vocab_size=9, caption_length=5)
        for parts, codes in (((image, text), range(64)), ((text, image), range(5, 69))):
            config = ConcatenatedConfig(parts=parts)
            assert range(config.sequence_length)[image_positions_of(config)] == codes
