"""Real digits, a small data set made of them and a made-up result, for every test that needs some."""

import datetime
import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mxqvae.data import mnist
from mxqvae.data.caption_grammar import CENTRE, KINDS, QUADRANTS, Slot
from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.evaluation.consistency import ConsistencyScore, ReadPair, score_pairs
from mxqvae.results import Cost, Result, Table2Figures

# No deadline: a busy machine is not a wrong result.
settings.register_profile("mxqvae", deadline=None)
settings.load_profile("mxqvae")



@pytest.fixture(autouse=True)
def torch_seed() -> None:
    """Let no test's draws depend on the tests before it."""
    torch.manual_seed(0)


SAMPLE_FOLDER = Path(__file__).parent / "assets" / "mnist"
"""The first 600 training and 200 test digits, as the four gzipped IDX files."""


def _sample_hashes() -> dict[str, str]:
    return {
        name: hashlib.sha256(gzip.decompress((SAMPLE_FOLDER / f"{name}.gz").read_bytes())).hexdigest()
        for name in mnist.SHA256
    }


@pytest.fixture(scope="session")
def mnist_sample() -> mnist.Mnist:
    """600 training and 200 test digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "SHA256", _sample_hashes())
        return mnist.load_mnist(SAMPLE_FOLDER)


@pytest.fixture
def mnist_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample's folder; while the test runs, its files count as the original ones."""
    monkeypatch.setattr(mnist, "SHA256", _sample_hashes())
    return SAMPLE_FOLDER


@pytest.fixture(scope="session")
def caption_mnist_small(mnist_sample: mnist.Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Caption MNIST folder of 300 training and 60 test pairs. Shared: tests do not write into it."""
    folder = tmp_path_factory.mktemp("data") / "caption-mnist"
    build_caption_mnist(CaptionMnistConfig(num_train=300, num_test=60), mnist_sample, folder)
    return folder


def _read_pairs(kind: str, num_consistent: int, num: int) -> list[ReadPair]:
    """`num` pairs of a kind; all but `num_consistent` show another digit in their last slot."""
    positions = [CENTRE] if kind == KINDS[0] else QUADRANTS[: KINDS.index(kind)]
    named = tuple(Slot(position, 1, "red") for position in positions)
    wrong = (*named[:-1], named[-1]._replace(digit=2))
    return [ReadPair(named, named if i < num_consistent else wrong) for i in range(num)]


@pytest.fixture(scope="session")
def score_of() -> Callable[..., ConsistencyScore]:
    """Score 20 pairs of each kind given, of which that share is consistent: `score_of(Quad4=0.9)`."""

    def score(**share_by_kind: float) -> ConsistencyScore:
        return score_pairs(
            [
                pair
                for kind, share in share_by_kind.items()
                for pair in _read_pairs(kind, round(20 * share), 20)
            ]
        )

    return score


@pytest.fixture
def table2_result(score_of: Callable[..., ConsistencyScore]) -> Result:
    """A made-up row of Table 2: every pair consistent, but for a tenth of Quad4."""
    every_kind = dict.fromkeys(KINDS, 1.0)
    return Result(
        name="table2-mxqvae",
        table="table2",
        row="MXQ-VAE",
        recipe="table2-mxqvae",
        seed=7,
        commit="0123456789abcdef0123456789abcdef01234567",
        hardware="2 cores of a test",
        versions={"python": "3.11.7", "torch": "2.13.0"},
        cost=Cost(data=20.0, judge=100.0, autoencoder=5400.0, prior=3600.0, sampling=125.0, scoring=9.0),
        date=datetime.date(2026, 11, 24),
        figures=Table2Figures(
            samples=score_of(**(every_kind | {"Quad4": 0.9})),
            ceiling=score_of(**every_kind),
            floor=score_of(**dict.fromkeys(KINDS, 0.0)),
            judge_accuracy=0.9961,
        ),
    )
