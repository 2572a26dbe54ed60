import json
from collections.abc import Callable

import pytest

from mxqvae import bench
from mxqvae.bench import Contender, Contest

Run = Callable[..., tuple[int, str, str]]
CONTESTS = [
    Contest("Sums: long over short", "pairs", Contender(lambda: sum(range(100)), 1.0), Contender(int, 1.0)),
    Contest("Sums: two over one", "GFLOP", Contender(int, 2.0), Contender(int, 1.0)),
]


@pytest.fixture(autouse=True)
def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two small contests in place of all; what they were asked for is noted."""
    asked: list[int] = []

    def contests(batch_size: int) -> list[Contest]:
        asked.append(batch_size)
        return CONTESTS

    monkeypatch.setattr(bench, "contests", contests)
    return asked


def test_the_table_holds_every_contest_and_the_machine(run: Run):
    code, out, err = run("bench", "--quick")
    assert code == 0
    for part in ("Sums: long over short", "Sums: two over one", "GFLOP/s", "pairs/s", "Ratio", "Quartiles"):
        assert part in out
    assert "batch size: 2, repeats: 1" in out.splitlines()[-1]
    assert "bench: 2 comparisons in" in err


def test_json_holds_every_figure(run: Run):
    code, out, err = run("bench", "--quick", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert set(figures) == {
        "hardware",
        "num_threads",
        "versions",
        "batch_size",
        "num_repeats",
        "comparisons",
    }
    assert [comparison["name"] for comparison in figures["comparisons"]] == [c.name for c in CONTESTS]
    for comparison in figures["comparisons"]:
        assert 0 < comparison["ratio_low"] <= comparison["ratio"] <= comparison["ratio_high"]


def test_quick_is_less_work(run: Run, batch_sizes: list[int]):
    repeats = [json.loads(run("bench", "--json", *flags)[1])["num_repeats"] for flags in ([], ["--quick"])]
    assert repeats[0] > repeats[1] == 1
    assert batch_sizes[0] > batch_sizes[1]
