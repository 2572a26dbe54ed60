from pathlib import Path

import pytest
import torch

from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.pairs import PairDataset
from mxqvae.errors import MxqvaeError
from mxqvae.generation import parallel
from mxqvae.generation.completion import CompletionConfig
from mxqvae.generation.parallel import completing_on, fitting_processes, sampling_on
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


def test_pairs_are_completed_alike(tiny_generator: PairGenerator, caption_mnist_small: Path):
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    token_ids = tiny_generator.tokenizer.encode([""] * 3)
    batch = PairBatch(to_floats(pairs.images[:3]), token_ids)
    asked = {"num_answers": 2, "seed": 5, "config": CompletionConfig(num_captions=2, num_rounds=1)}
    with completing_on(tiny_generator, 2) as complete_pairs:
        together = list(complete_pairs(batch, **asked))
        whole = PairBatch(batch.images, tiny_generator.tokenizer.encode(pairs.captions[:3]))
        with pytest.raises(MxqvaeError, match="nothing is left to complete"):
            complete_pairs(whole)
    with completing_on(tiny_generator, 1) as complete_pairs:
        alone = list(complete_pairs(batch, **asked))
    for one, other in zip(alone, together, strict=True):
        assert one.pairs.images.equal(other.pairs.images)
        assert (one.captions, one.numbers) == (other.captions, other.numbers)
        assert one.bits.equal(other.bits)


def test_one_process_is_this_one(tiny_generator: PairGenerator):
    with sampling_on(tiny_generator, 1) as draw:
        assert draw == tiny_generator.sample


def test_a_block_is_drawn_by_its_numbers(tiny_generator: PairGenerator):
    drawn = parallel._draw(tiny_generator, range(70, 75), seed=4)
    (pairs,) = tiny_generator.sample(5, seed=4, first=70)
    assert (drawn.images == pairs.images).all()
    assert drawn.captions == pairs.captions


def test_each_process_has_enough_to_do(tiny_generator: PairGenerator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel, "num_cores", lambda: 7)
    processes = [fitting_processes(tiny_generator, num, few=10) for num in (1, 19, 20, 69, 70, 1000)]
    assert processes == [1, 1, 2, 6, 7, 7]


def test_a_model_on_a_gpu_is_not_shared(tiny_generator: PairGenerator):
    tiny_generator.to(torch.device("meta"))
    assert fitting_processes(tiny_generator, 1000, few=10) == 1
    with pytest.raises(MxqvaeError, match="the model is on meta, which one process keeps busy"):
        sampling_on(tiny_generator, 2).__enter__()
