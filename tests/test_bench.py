import math
from collections.abc import Iterator

import pytest
import torch

from mxqvae import bench
from mxqvae.bench import (
    LENGTHS,
    Contender,
    Contest,
    contests,
    measure,
    sample_without_cache,
)
from mxqvae.layers.transformer import LONGEST_PLAIN_ATTENTION, TransformerConfig
from mxqvae.prior.sampling import SamplingConfig, sample_indices
from mxqvae.prior.transformer import Prior, PriorConfig


@pytest.fixture(scope="module")
def all_contests() -> list[Contest]:
    return contests(batch_size=1)


def test_every_contest_can_be_held(all_contests: list[Contest]):
    for contest in all_contests:
        comparison = measure(contest, num_repeats=1)
        assert comparison.name == contest.name
        assert comparison.unit in ("GFLOP/s", "pairs/s")
        for figure in (comparison.ours, comparison.reference, comparison.ratio):
            assert 0 < figure < math.inf


def test_names_tell_contests_apart(all_contests: list[Contest]):
    names = [contest.name for contest in all_contests]
    assert len(names) == len(set(names))
    # Two lines of a table are one too many.
    assert max(map(len, names)) <= 80


def test_both_sides_are_asked_for_the_same_work(all_contests: list[Contest]):
    uneven = [contest.name for contest in all_contests if contest.ours.work != contest.reference.work]
    assert [name.partition(":")[0] for name in uneven] == [
        "Unshuffled convolution to 128 at 16x16",
        "Autoencoder step",
        "Prior step",
    ]


@pytest.mark.parametrize("able", [True, False])
def test_bf16_is_compared_where_training_uses_it(monkeypatch: pytest.MonkeyPatch, able: bool):
    monkeypatch.setattr(bench, "multiplies_bf16", lambda device: able)
    names = [contest.name for contest in contests(batch_size=1)]
    assert [name.partition(":")[0] for name in names if "bf16 over fp32" in name] == (
        ["GEMM of 2048", "Autoencoder step", "Prior step"] if able else []
    )
    assert ("bf16" in "".join(names)) == able


def test_the_ratio_is_that_of_rates_turn_by_turn(monkeypatch: pytest.MonkeyPatch):
    # Seconds of each turn, ours and the reference's in turns; the machine is slower by far in the second.
    seconds = [(1.0, 4.0), (100.0, 200.0), (1.0, 3.0)]

    def clock() -> Iterator[float]:
        now = 0.0
        for turn in seconds:
            for duration in turn:
                yield now
                now += duration
                yield now

    monkeypatch.setattr(bench.time, "perf_counter", clock().__next__)
    calls: list[str] = []
    contest = Contest(
        "work", "pairs", Contender(lambda: calls.append("o"), 8.0), Contender(lambda: calls.append("r"), 4.0)
    )
    comparison = measure(contest, num_repeats=3)
    assert "".join(calls) == "or" * 4
    assert (comparison.unit, comparison.ours, comparison.reference) == ("pairs/s", 8.0, 1.0)
    assert (comparison.ratio_low, comparison.ratio, comparison.ratio_high) == (5.0, 6.0, 7.0)


def test_the_layers_choice_is_ours(all_contests: list[Contest]):
    names = [contest.name for contest in all_contests if "ttention" in contest.name]
    assert len(names) >= 2 * len(LENGTHS)
    for name in names:
        length = int(name.partition(" of ")[2].partition(",")[0])
        assert ("plain over fused" in name) == (length <= LONGEST_PLAIN_ATTENTION)


def test_both_samplers_draw_the_same():
    torch.manual_seed(0)
    transformer = TransformerConfig(num_layers=2, width=16, num_heads=2)
    prior = Prior(PriorConfig(num_codes=7, sequence_length=5, transformer=transformer)).eval()
    greedy = SamplingConfig(top_k=1)
    [expected] = sample_indices(prior, greedy, num=3)
    assert torch.equal(sample_without_cache(prior, greedy, 3), expected)
