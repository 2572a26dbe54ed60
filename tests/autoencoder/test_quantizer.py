import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mxqvae.autoencoder.quantizer import (
    AveragingVectorQuantizer,
    QuantizerConfig,
    VectorQuantizer,
    build_quantizer,
    codebook_perplexity,
)

PLAIN = QuantizerConfig(num_codes=10, code_size=4)
AVERAGING = QuantizerConfig(num_codes=10, code_size=4, average_decay=0.9)
RESTARTING = QuantizerConfig(num_codes=10, code_size=4, average_decay=0.9, reset_below=0.5)
MANY = QuantizerConfig(num_codes=192, code_size=4)
KINDS = pytest.mark.parametrize("config", [PLAIN, AVERAGING, RESTARTING, MANY])
NUM_POSITIONS = 20


def build(config: QuantizerConfig) -> VectorQuantizer:
    return build_quantizer(config, torch.ones(NUM_POSITIONS))


def averaging(config: QuantizerConfig = AVERAGING) -> AveragingVectorQuantizer:
    quantizer = build(config)
    assert isinstance(quantizer, AveragingVectorQuantizer)
    return quantizer


def latents_of(num: int, **options: bool) -> torch.Tensor:
    return torch.randn(num, NUM_POSITIONS, 4, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_the_config_decides_how_the_codebook_learns():
    assert type(build(PLAIN)) is VectorQuantizer
    assert type(build(AVERAGING)) is AveragingVectorQuantizer


class TestEveryKind:
    @KINDS
    def test_the_nearest_code_is_taken(self, config: QuantizerConfig):
        quantizer = build(config).eval()
        latents = latents_of(3)
        expected = torch.cdist(latents.flatten(0, 1), quantizer.codebook).argmin(1).view(3, NUM_POSITIONS)
        assert quantizer.nearest(latents).equal(expected)
        quantized = quantizer(latents)
        assert quantized.indices.equal(expected)
        torch.testing.assert_close(quantized.codes, quantizer.codebook[expected])

    @pytest.mark.parametrize(("config", "other"), [(PLAIN, 7), (MANY, 60), (MANY, 150)])
    def test_the_first_of_equal_codes_is_taken(self, config: QuantizerConfig, other: int):
        quantizer = build(config).eval()
        quantizer.codebook.data[other] = quantizer.codebook.data[5]
        assert quantizer.nearest(quantizer.codebook.data[[5, other]]).tolist() == [5, 5]

    @KINDS
    @pytest.mark.parametrize("num", [1, 4, 1000])
    def test_how_many_are_scored_at_a_time_changes_nothing(
        self, config: QuantizerConfig, num: int, monkeypatch: pytest.MonkeyPatch
    ):
        quantizer, latents = build(config).eval(), latents_of(5)
        expected = quantizer.nearest(latents)
        monkeypatch.setattr("mxqvae.autoencoder.quantizer.LATENTS_AT_A_TIME", num)
        assert quantizer.nearest(latents).equal(expected)
        assert quantizer.nearest(latents[:0]).shape == (0, NUM_POSITIONS)

    @KINDS
    def test_a_code_vector_quantizes_to_itself(self, config: QuantizerConfig):
        quantizer = build(config).eval()
        indices = torch.randperm(10).view(2, 5)
        quantized = quantizer(quantizer.lookup(indices))
        assert quantized.indices.equal(indices)
        assert quantized.codes.equal(quantizer.lookup(indices))
        assert not quantized.commitment_loss.any()

    @KINDS
    def test_the_gradient_passes_straight_through(self, config: QuantizerConfig):
        quantizer = build(config)
        latents = latents_of(2, requires_grad=True)
        quantizer(latents).codes.sum().backward()
        assert latents.grad is not None
        assert latents.grad.equal(torch.ones_like(latents))

    @KINDS
    def test_commitment_moves_latents_towards_their_codes(self, config: QuantizerConfig):
        quantizer = build(config).eval()
        latents = latents_of(2, requires_grad=True)
        quantized = quantizer(latents)
        codes = quantizer.lookup(quantized.indices).detach()
        torch.testing.assert_close(quantized.commitment_loss, F.mse_loss(latents, codes))
        quantized.commitment_loss.backward()
        torch.testing.assert_close(latents.grad, 2 * (latents - codes).detach() / latents.numel())
        assert quantizer.codebook.grad is None

    @KINDS
    def test_evaluation_leaves_the_codebook_alone(self, config: QuantizerConfig):
        quantizer = build(config).eval()
        before = {name: value.clone() for name, value in quantizer.state_dict().items()}
        quantizer(latents_of(2))
        assert all(value.equal(before[name]) for name, value in quantizer.state_dict().items())

    @KINDS
    def test_autocast_changes_nothing(self, config: QuantizerConfig):
        quantizer = build(config).eval()
        latents = latents_of(4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            under_autocast = quantizer(latents)
        assert under_autocast.codes.dtype == torch.float32
        assert under_autocast.indices.equal(quantizer(latents).indices)


class TestGradientDescent:
    def test_the_start_is_uniform(self):
        codebook = VectorQuantizer(QuantizerConfig(num_codes=100, code_size=100)).codebook.detach()
        assert 0.0099 < float(codebook.max()) <= 0.01
        assert -0.01 <= float(codebook.min()) < -0.0099

    def test_the_codebook_loss_moves_codes_towards_latents(self):
        quantizer = VectorQuantizer(PLAIN)
        latents = latents_of(2, requires_grad=True)
        quantized = quantizer(latents)
        codes = quantizer.lookup(quantized.indices)
        torch.testing.assert_close(quantized.codebook_loss, F.mse_loss(codes, latents))
        quantized.codebook_loss.backward()
        assert latents.grad is None
        assert quantizer.codebook.grad is not None
        chosen = torch.zeros(10, dtype=torch.bool).index_fill(0, quantized.indices.flatten(), True)
        assert quantizer.codebook.grad[chosen].abs().sum() > 0
        assert not quantizer.codebook.grad[~chosen].any()


class TestAveraging:
    def test_the_codebook_starts_at_latents_of_the_first_batch(self):
        quantizer = averaging()
        latents = latents_of(8)
        quantizer.prepare(latents)
        assert {*map(tuple, quantizer.codebook.tolist())} <= {*map(tuple, latents.flatten(0, 1).tolist())}

    def test_positions_of_weight_zero_start_no_code(self):
        weights = torch.zeros(NUM_POSITIONS).index_fill(0, torch.tensor([3, 17]), 1.0)
        quantizer = build_quantizer(AVERAGING, weights)
        latents = latents_of(8)
        quantizer.prepare(latents)
        starts = {*map(tuple, latents[:, [3, 17]].flatten(0, 1).tolist())}
        assert {*map(tuple, quantizer.codebook.tolist())} <= starts

    def test_an_untrained_codebook_is_not_started_by_evaluation(self):
        quantizer = averaging().eval()
        before = quantizer.codebook.clone()
        quantizer.prepare(latents_of(8))
        assert quantizer.codebook.equal(before)

    def test_codes_follow_the_moving_average_of_the_latents_they_win(self):
        quantizer = averaging()
        quantizer(latents_of(2))
        for _ in range(3):
            latents = latents_of(2)
            counts, sums = quantizer.counts.tolist(), quantizer.sums.tolist()
            won: list[list[list[float]]] = [[] for _ in range(10)]
            for index, latent in zip(
                quantizer.nearest(latents).flatten().tolist(), latents.flatten(0, 1).tolist(), strict=True
            ):
                won[index].append(latent)
            quantizer(latents)
            for code in range(10):
                count = 0.9 * counts[code] + 0.1 * len(won[code])
                total = [
                    0.9 * old + 0.1 * sum(latent[channel] for latent in won[code])
                    for channel, old in enumerate(sums[code])
                ]
                assert float(quantizer.counts[code]) == pytest.approx(count, rel=1e-4)
                expected = torch.tensor([value / count for value in total])
                torch.testing.assert_close(quantizer.codebook[code], expected, rtol=1e-3, atol=1e-4)

    def test_the_codebook_has_no_gradient_and_no_loss(self):
        quantizer = averaging()
        quantized = quantizer(latents_of(2, requires_grad=True))
        assert float(quantized.codebook_loss) == 0
        assert not quantizer.codebook.requires_grad

    def test_dead_codes_restart_at_latents(self):
        quantizer = averaging(RESTARTING)
        quantizer(latents_of(2))
        far = 100 + latents_of(2)
        for _ in range(40):
            quantizer(far)
        assert torch.cdist(quantizer.codebook, far.flatten(0, 1)).min(1).values.max() < 10

    @pytest.mark.parametrize("reset_below", [0.01, 0.5, 2.0])
    def test_a_code_restarts_on_the_threshold_and_moves_on_at_once(self, reset_below: float):
        quantizer = averaging(dataclasses.replace(AVERAGING, reset_below=reset_below))
        quantizer.prepare(latents_of(2))
        assert quantizer.counts.equal(torch.full((10,), reset_below))
        far = 100 + latents_of(2)
        wins = torch.bincount(quantizer.nearest(far).flatten(), minlength=10)
        quantizer(far)
        distances = torch.cdist(quantizer.codebook, far.flatten(0, 1)).min(1).values
        assert distances[wins == 0].max() < 1

    def test_codes_stay_where_they_are_without_a_reset(self):
        quantizer = averaging()
        quantizer(latents_of(2))
        far = 100 + latents_of(2)
        quantizer(far)
        before = quantizer.codebook.clone()
        for _ in range(300):
            quantizer(far)
        dead = quantizer.codebook.norm(dim=1) < 50
        assert 0 < int(dead.sum()) < 10
        torch.testing.assert_close(quantizer.codebook[dead], before[dead])


class TestPerplexity:
    @given(st.lists(st.integers(0, 1000), min_size=2, max_size=40).filter(any))
    def test_it_lies_between_one_code_and_all_of_them(self, usage: list[int]):
        perplexity = float(codebook_perplexity(torch.tensor(usage).float()))
        assert 1 - 1e-4 <= perplexity <= sum(count > 0 for count in usage) + 1e-3

    @pytest.mark.parametrize("num", [1, 2, 37])
    def test_codes_used_equally_count_in_full(self, num: int):
        usage = torch.tensor([5.0] * num + [0.0] * 3)
        assert float(codebook_perplexity(usage)) == pytest.approx(num, rel=1e-5)


class TestConfig:
    @pytest.mark.parametrize(
        "change",
        [{"num_codes": 1}, {"code_size": 0}, {"average_decay": 0.0}, {"average_decay": 1.0}],
    )
    def test_impossible_values_are_refused(self, change: dict[str, float]):
        with pytest.raises(ValidationError):
            QuantizerConfig(**change)  # pyright: ignore[reportArgumentType]

    def test_a_reset_needs_the_average_that_tells_which_codes_are_dead(self):
        with pytest.raises(ValidationError, match="reset_below needs average_decay"):
            QuantizerConfig(reset_below=1.0)
