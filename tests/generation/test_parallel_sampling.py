import pytest
import torch

from mxqvae.errors import MxqvaeError
from mxqvae.generation import parallel_sampling
from mxqvae.generation.parallel_sampling import FEW_PAIRS, fitting_processes, sampling_on
from mxqvae.generation.pipeline import PairGenerator


def test_processes_make_no_difference(tiny_generator: PairGenerator):
    alone = list(tiny_generator.sample(150, seed=3, first=60))
    with sampling_on(tiny_generator, 2) as draw:
        together = list(draw(150, seed=3, first=60))
        (again,) = draw(1, seed=3, first=60)
        with pytest.raises(MxqvaeError, match="num must be at least 1"):
            draw(0)
    assert [len(pairs.captions) for pairs in alone] == [4, 64, 64, 18]
    for one, other in zip(alone, together, strict=True):
        assert (one.images == other.images).all()
        assert one.captions == other.captions
        assert one.indices.equal(other.indices)
    assert again.captions == alone[0].captions[:1]


def test_one_process_is_this_one(tiny_generator: PairGenerator):
    with sampling_on(tiny_generator, 1) as draw:
        assert draw == tiny_generator.sample


def test_a_block_is_drawn_by_its_numbers(tiny_generator: PairGenerator):
    drawn = parallel_sampling._draw(tiny_generator, range(70, 75), seed=4)
    (pairs,) = tiny_generator.sample(5, seed=4, first=70)
    assert (drawn.images == pairs.images).all()
    assert drawn.captions == pairs.captions


def test_few_pairs_are_drawn_by_one(tiny_generator: PairGenerator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel_sampling, "num_cores", lambda: 7)
    assert fitting_processes(tiny_generator, FEW_PAIRS - 1) == 1
    assert fitting_processes(tiny_generator, FEW_PAIRS) == 7


def test_a_model_on_a_gpu_is_not_shared(tiny_generator: PairGenerator):
    tiny_generator.to(torch.device("meta"))
    assert fitting_processes(tiny_generator, FEW_PAIRS) == 1
    with pytest.raises(MxqvaeError, match="the model is on meta, which one process keeps busy"):
        sampling_on(tiny_generator, 2).__enter__()
