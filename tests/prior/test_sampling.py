import functools
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from mxqvae.autoencoder.code_layout import Segment, possible_codes
from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior import sampling as module
from mxqvae.prior.sampling import SamplingConfig, draw, draw_samples, filter_logits, sample_indices
from mxqvae.prior.transformer import CaptionFirstConfig, Prior, PriorConfig

K = 9
PLAIN = SamplingConfig(top_p=1.0)
GREEDY = SamplingConfig(top_k=1)


SEGMENTS = (
    Segment(modality="image", length=4, num_codes=6),
    Segment(modality="text", length=2, num_codes=3),
)


@functools.cache
def prior_of(
    sequence_length: int = 6,
    segments: tuple[Segment, ...] = (),
    caption_first: CaptionFirstConfig | None = None,
) -> Prior:
    """A prior whose codes depend on one another: its weights are larger than at the start."""
    transformer = TransformerConfig(num_layers=2, width=12, num_heads=3, dropout=0.1)
    config = PriorConfig(
        num_codes=K,
        sequence_length=sequence_length,
        segments=segments,
        transformer=transformer,
        caption_first=caption_first,
    )
    prior = Prior(config)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.eval()


def samples(num: int, *, first: int = 0, seed: int = 3, sampling: SamplingConfig = PLAIN) -> Tensor:
    return torch.cat(list(sample_indices(prior_of(), sampling, num=num, seed=seed, first=first)))


@functools.cache
def first_280_samples() -> Tensor:
    return samples(280)


def watch_logits(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Takes the logits of each step of sampling from now on."""
    seen: list[Tensor] = []

    def watch(logits: Tensor, sampling: SamplingConfig) -> Tensor:
        seen.append(logits)
        return filter_logits(logits, sampling)

    monkeypatch.setattr(module, "filter_logits", watch)
    return seen


def reference_filter(logits: list[float], sampling: SamplingConfig) -> list[float]:
    """Probabilities after the filters, by the book."""
    scaled = [logit / sampling.temperature for logit in logits]
    order = sorted(range(len(scaled)), key=lambda code: -scaled[code])
    kept = order[: sampling.top_k]
    weights = [math.exp(scaled[code] - scaled[order[0]]) for code in kept]
    probabilities = [weight / sum(weights) for weight in weights]
    nucleus, mass = [], 0.0
    for code, probability in zip(kept, probabilities, strict=True):
        if mass >= sampling.top_p:
            break
        nucleus.append(code)
        mass += probability
    return [probabilities[kept.index(code)] / mass if code in nucleus else 0.0 for code in range(len(logits))]


class TestFilter:
    @given(
        st.lists(st.integers(-64, 64).map(lambda eighths: eighths / 8), min_size=2, max_size=12, unique=True),
        st.sampled_from([0.25, 1.0, 1.7]),
        st.none() | st.integers(1, 15),
        st.sampled_from([0.05, 0.3, 0.77, 1.0]),
    )
    def test_it_is_what_the_book_says(
        self, logits: list[float], temperature: float, top_k: int | None, top_p: float
    ):
        sampling = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
        filtered = filter_logits(torch.tensor([logits]), sampling).softmax(-1)[0]
        assert filtered.tolist() == pytest.approx(reference_filter(logits, sampling), abs=1e-5)

    def test_without_filters_the_distribution_stays(self):
        logits = torch.randn(5, K)
        torch.testing.assert_close(filter_logits(logits, PLAIN).softmax(-1).float(), logits.softmax(-1))

    def test_top_k_leaves_k_codes(self):
        kept = filter_logits(torch.randn(5, K), SamplingConfig(top_k=4)).isfinite().sum(1)
        assert kept.tolist() == [4] * 5

    @pytest.mark.parametrize("sampling", [GREEDY, SamplingConfig(top_p=1e-9)])
    def test_the_most_likely_code_always_stays(self, sampling: SamplingConfig):
        logits = torch.randn(5, K)
        filtered = filter_logits(logits, sampling)
        assert filtered.isfinite().sum(1).tolist() == [1] * 5
        assert filtered.argmax(1).equal(logits.argmax(1))

    @pytest.mark.parametrize("temperature", [5e-324, 1e-40, 1e300])
    def test_no_temperature_is_too_extreme(self, temperature: float):
        logits = torch.tensor([[-1e4, 5.0, 1e4], [0.0, -5.0, 0.5]])
        probabilities = filter_logits(logits, SamplingConfig(temperature=temperature)).softmax(-1)
        expected = [[0, 0, 1], [0, 0, 1]] if temperature < 1 else [[1 / 3] * 3] * 2
        torch.testing.assert_close(probabilities, torch.tensor(expected, dtype=torch.float64))


class TestDraw:
    @given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(0, 1, exclude_max=True))
    def test_it_inverts_the_cumulative_distribution(self, logits: list[float], noise: float):
        row = torch.tensor([logits], dtype=torch.float64)
        code = int(draw(row, torch.tensor([noise], dtype=torch.float64)))
        cumulative = [0.0, *itertools.accumulate(row.softmax(-1)[0].tolist())]
        assert cumulative[code] - 1e-12 <= noise <= cumulative[code + 1] + 1e-12

    @pytest.mark.parametrize("noise", [0.0, 1 - 2**-53])
    def test_the_ends_of_the_range_give_codes_that_are_possible(self, noise: float):
        impossible = float("-inf")
        logits = torch.tensor([[impossible, 0.0, impossible, 3.0, impossible]])
        code = draw(logits, torch.tensor([noise], dtype=torch.float64))
        assert code.tolist() == [1 if noise == 0 else 3]


class TestSampling:
    def test_shapes_and_blocks(self):
        blocks = list(sample_indices(prior_of(), PLAIN, num=100, seed=3, first=40))
        assert [len(block) for block in blocks] == [24, 64, 12]
        assert all(block.shape[1] == 6 and block.dtype == torch.int64 for block in blocks)

    def test_samples_can_be_changed(self):
        samples(1)[:, 0] = 1

    def test_a_sample_is_the_same_whatever_it_is_drawn_with(self):
        assert samples(1, first=17).equal(samples(256)[17:18])

    @given(st.integers(0, 200), st.integers(1, 80))
    @settings(max_examples=15)
    def test_any_stretch_is_cut_from_the_same_sequence(self, first: int, num: int):
        assert samples(num, first=first).equal(first_280_samples()[first : first + num])

    def test_seeds_and_numbers_give_other_samples(self):
        rows = {tuple(row) for seed in (0, 1, 2**64 - 1) for row in samples(20, seed=seed).tolist()}
        assert len(rows) > 55
        assert len(samples(2, first=2**63 - 1)) == 2

    def test_the_start_is_never_sampled(self):
        drawn = samples(256, sampling=SamplingConfig(temperature=100.0))
        assert set(drawn.unique().tolist()) == set(range(K))
        assert prior_of().start_index == K

    def test_logits_step_by_step_are_those_of_teacher_forcing(self, monkeypatch: pytest.MonkeyPatch):
        seen = watch_logits(monkeypatch)
        drawn = samples(64)
        with torch.no_grad():
            torch.testing.assert_close(
                torch.stack(seen, dim=1), prior_of().logits(drawn), rtol=1e-4, atol=1e-4
            )

    def test_the_best_code_alone_is_greedy_decoding(self):
        drawn = samples(3, sampling=GREEDY)
        with torch.no_grad():
            logits = prior_of().logits(drawn)
        chosen = logits.gather(2, drawn[..., None])[..., 0]
        torch.testing.assert_close(chosen, logits.amax(-1), rtol=0, atol=1e-4)
        assert drawn[0].equal(drawn[1])

    def test_codes_come_as_often_as_the_prior_says(self):
        prior = prior_of(sequence_length=2)
        drawn = torch.cat(list(sample_indices(prior, PLAIN, num=6400)))
        with torch.no_grad():
            first = prior.logits(drawn[:1])[0, 0].softmax(-1)
            counts = torch.bincount(drawn[:, 0], minlength=K)
            likeliest = int(first.argmax())
            after = drawn[drawn[:, 0] == likeliest]
            second = prior.logits(after[:1])[0, 1].softmax(-1)
        for probabilities, seen in ((first, counts), (second, torch.bincount(after[:, 1], minlength=K))):
            num = int(seen.sum())
            deviation = (probabilities * (1 - probabilities) / num).sqrt()
            assert ((seen / num - probabilities).abs() < 4.5 * deviation + 1e-3).all()

    def test_torch_s_own_random_stream_is_left_alone(self):
        before = torch.get_rng_state()
        samples(5)
        assert torch.get_rng_state().equal(before)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"num": 0}, "num must be at least 1, got 0"),
            ({"num": -3}, "num must be at least 1, got -3"),
            ({"first": -1}, "first must be in [0, 2^63), got -1"),
            ({"first": 2**63}, "first must be in [0, 2^63), got 9223372036854775808"),
            ({"seed": -1}, "seed must be in [0, 2^64), got -1"),
            ({"seed": 2**64}, "seed must be in [0, 2^64), got 18446744073709551616"),
            (
                {"sampling": SamplingConfig(top_k=K + 1)},
                "top_k must be at most 9, the codes to choose from, got 10",
            ),
        ],
    )
    def test_what_cannot_be_sampled_is_named(self, change: dict[str, Any], message: str):
        options: dict[str, Any] = {"num": 1} | change
        with pytest.raises(MxqvaeError) as refusal:
            samples(**options)
        assert str(refusal.value) == message


class TestSegments:
    @pytest.mark.parametrize(
        "sampling",
        [
            PLAIN,
            GREEDY,
            SamplingConfig(temperature=100.0, top_p=1.0),
            SamplingConfig(temperature=0.01, top_p=0.5),
            SamplingConfig(temperature=100.0, top_k=6, top_p=0.999),
        ],
    )
    def test_every_code_is_one_of_its_segment(self, sampling: SamplingConfig):
        prior = prior_of(segments=SEGMENTS)
        drawn = torch.cat(list(sample_indices(prior, sampling, num=128)))
        assert possible_codes(SEGMENTS).expand(128, -1, -1).gather(2, drawn[..., None]).all()

    def test_each_of_them_can_be_drawn(self):
        hot = SamplingConfig(temperature=100.0, top_p=1.0)
        drawn = torch.cat(list(sample_indices(prior_of(segments=SEGMENTS), hot, num=128)))
        for position, possible in enumerate(possible_codes(SEGMENTS)):
            assert drawn[:, position].unique().equal(possible.nonzero()[:, 0])

    def test_logits_step_by_step_are_those_of_teacher_forcing(self, monkeypatch: pytest.MonkeyPatch):
        seen = watch_logits(monkeypatch)
        prior = prior_of(segments=SEGMENTS)
        drawn = torch.cat(list(sample_indices(prior, PLAIN, num=64)))
        with torch.no_grad():
            torch.testing.assert_close(torch.stack(seen, dim=1), prior.logits(drawn), rtol=1e-4, atol=1e-4)

    def test_top_k_goes_up_to_the_largest_segment(self):
        prior = prior_of(segments=SEGMENTS)
        assert next(sample_indices(prior, SamplingConfig(top_k=6), num=1)).shape == (1, 6)
        with pytest.raises(MxqvaeError) as refusal:
            next(sample_indices(prior, SamplingConfig(top_k=7), num=1))
        assert str(refusal.value) == "top_k must be at most 6, the codes to choose from, got 7"


CAPTION_FIRST = CaptionFirstConfig(num_codes=2)


class TestCaptionFirst:
    def test_the_best_code_alone_is_greedy_decoding(self):
        prior = prior_of(caption_first=CAPTION_FIRST)
        drawn = next(sample_indices(prior, SamplingConfig(top_k=1), num=2))
        with torch.no_grad():
            logits = prior.logits(drawn)
        chosen = logits.gather(2, drawn[..., None])[..., 0]
        torch.testing.assert_close(chosen, logits.amax(-1), rtol=0, atol=1e-4)

    def test_logits_step_by_step_are_those_of_teacher_forcing(self, monkeypatch: pytest.MonkeyPatch):
        seen = watch_logits(monkeypatch)
        prior = prior_of(caption_first=CAPTION_FIRST)
        drawn = next(sample_indices(prior, PLAIN, num=64))
        with torch.no_grad():
            expected = prior.logits(drawn)[:, prior.config.order]
        torch.testing.assert_close(torch.stack(seen, dim=1), expected, rtol=1e-4, atol=1e-4)

    def test_what_is_given_stays_and_the_rest_is_drawn_after_it(self):
        prior = prior_of(caption_first=CAPTION_FIRST)
        first = draw_samples(prior, PLAIN, seed=0, samples=range(64))
        caption = first.clone()
        caption[:, :4] = -1
        assert draw_samples(prior, PLAIN, seed=0, samples=range(64), given=caption).equal(first)
        caption[:32] = -1
        other = draw_samples(prior, PLAIN, seed=0, samples=range(64), attempt=1, given=caption)
        assert other[32:, 4:].equal(first[32:, 4:])
        assert (other[32:, :4] != first[32:, :4]).any(1).float().mean() > 0.9
        assert other[:32].equal(draw_samples(prior, PLAIN, seed=0, samples=range(64), attempt=1)[:32])


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"top_k": 0},
        {"top_k": 2.0},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_impossible_filters_are_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        SamplingConfig(**change)
