import pytest
import torch

from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.pairs import PairDataset
from mxqvae.generation.completion import conditional_prior
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.prior.conditioner import (
    ConditionalPrior,
    ConditionalSequences,
    Conditioner,
    known_shares,
    sample_given,
)
from mxqvae.prior.sampling import SamplingConfig


@pytest.fixture
def model(tiny_generator: PairGenerator) -> ConditionalPrior:
    """All three models, untrained, the conditioner not at its silent start."""
    return conditional_prior(tiny_generator)


@pytest.fixture
def pairs(caption_mnist_small, tiny_generator: PairGenerator) -> PairBatch:
    """Three test pairs."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    return PairBatch(to_floats(pairs.images[:3]), tiny_generator.tokenizer.encode(pairs.captions[:3]))


@pytest.fixture
def indices(model: ConditionalPrior, pairs: PairBatch) -> torch.Tensor:
    return model.autoencoder.encode(pairs)


def test_untrained_it_is_the_prior(model: ConditionalPrior, pairs: PairBatch, indices: torch.Tensor):
    silent = ConditionalPrior(model.autoencoder, model.prior, Conditioner(model.conditioner.config)).eval()
    assert silent.logits(indices, silent.read_known(pairs)).equal(model.prior.logits(indices))


def test_code_by_code_is_teacher_forcing(model: ConditionalPrior, pairs: PairBatch, indices: torch.Tensor):
    memory = model.read_known(pairs)
    sequences, steps = ConditionalSequences(model, memory), []
    for position in range(indices.shape[1]):
        steps.append(sequences.step())
        sequences.append(indices[:, position])
    torch.testing.assert_close(torch.stack(steps, dim=1), model.logits(indices, memory))


@pytest.mark.parametrize("part", ["image", "caption"])
def test_what_is_given_matters(model: ConditionalPrior, pairs: PairBatch, indices: torch.Tensor, part: str):
    other = PairBatch(
        *(
            value.roll(1, 0) if i == ["image", "caption"].index(part) else value
            for i, value in enumerate(pairs)
        )
    )
    memories = [model.read_known(given) for given in (pairs, other)]
    first, second = (model.logits(indices, memory) for memory in memories)
    assert not first.allclose(second)


def test_hidden_pixels_do_not(model: ConditionalPrior, pairs: PairBatch):
    hidden = pairs.images.clone()
    hidden[:, :, :32] = torch.nan
    others = pairs.images.roll(1, 0)
    others[:, :, :32], others[:, :, 32:] = torch.nan, hidden[:, :, 32:]
    memories = [model.read_known(PairBatch(images, pairs.token_ids)) for images in (hidden, others)]
    assert memories[0].equal(memories[1])
    assert memories[0].isfinite().all()


def test_training_reaches_the_conditioner_alone(
    model: ConditionalPrior, pairs: PairBatch, indices: torch.Tensor
):
    before = {name: value.clone() for name, value in model.prior.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.train()
    assert not model.prior.training
    model.loss((pairs, indices)).total.backward()
    optimizer.step()
    assert all(name.startswith("conditioner.") for name in model.state_dict())
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(value.equal(before[name]) for name, value in model.prior.state_dict().items())


class TestSampling:
    SAMPLING = SamplingConfig(top_p=1.0)

    def draw(self, model: ConditionalPrior, memory: torch.Tensor, **options) -> torch.Tensor:
        length = model.prior.config.sequence_length
        noise = torch.rand(
            len(memory), length, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        return sample_given(model, memory, options.pop("sampling", self.SAMPLING), noise, **options)

    def test_top_k_of_1_is_greedy(self, model: ConditionalPrior, pairs: PairBatch):
        memory = model.read_known(pairs)
        drawn = self.draw(model, memory, sampling=SamplingConfig(top_k=1))
        assert model.logits(drawn, memory).argmax(-1).equal(drawn)

    def test_no_guidance_is_the_prior(self, model: ConditionalPrior, pairs: PairBatch):
        first, second = (
            self.draw(model, model.read_known(given), guidance=0.0)
            for given in (pairs, PairBatch(*(value.roll(1, 0) for value in pairs)))
        )
        assert first.equal(second)

    def test_guidance_of_1_is_the_model(self, model: ConditionalPrior, pairs: PairBatch):
        memory = model.read_known(pairs)
        assert self.draw(model, memory).equal(self.draw(model, memory, guidance=1.0 + 1e-9))


def test_shares_count_pixels():
    images = torch.rand(1, 3, 8, 8)
    images[:, :, :4, :2] = torch.nan
    assert known_shares(images, 4).tolist() == [[0.5, 1.0, 1.0, 1.0]]
