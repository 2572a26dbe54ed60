import dataclasses

import pytest
import torch
from torch import Tensor

from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.reader import (
    CaptionReader,
    CodedPairs,
    ReaderConfig,
    ReadingPrior,
    ReadingSequences,
)
from mxqvae.prior.sequences import PriorSequences
from mxqvae.prior.transformer import CaptionFirstConfig, Prior, PriorConfig

LAYERS = TransformerConfig(num_layers=2, width=16, num_heads=2, dropout=0.1)
PRIOR = PriorConfig(
    num_codes=9, sequence_length=6, transformer=LAYERS, caption_first=CaptionFirstConfig(num_codes=2)
)
READER = ReaderConfig(
    vocab_size=12,
    caption_length=5,
    prior=LAYERS,
    words=TransformerConfig(num_layers=1, width=8, num_heads=2),
)


def untrained() -> ReadingPrior:
    torch.manual_seed(0)
    return ReadingPrior(Prior(PRIOR), CaptionReader(READER)).eval()


def of_large_weights() -> ReadingPrior:
    reading = untrained()
    for parameter in reading.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return reading


def pairs(num: int = 3) -> CodedPairs:
    return CodedPairs(torch.randint(9, (num, 6)), torch.randint(4, 12, (num, 5)))


def step_by_step(sequences: PriorSequences, drawn: Tensor) -> Tensor:
    """Logits (P, T, K) of codes in the order in which they are drawn."""
    steps = []
    for codes in drawn.T:
        steps.append(sequences.step())
        sequences.append(codes)
    return torch.stack(steps, dim=1)


class TestReading:
    def test_before_training_the_prior_is_what_it_was(self):
        reading, (indices, token_ids) = untrained(), pairs()
        read = reading.logits_as_drawn(indices, token_ids)
        torch.testing.assert_close(read, reading.prior.logits_as_drawn(indices))

    def test_what_is_drawn_depends_on_every_word(self):
        reading, (indices, token_ids) = of_large_weights(), pairs()
        read = reading.logits_as_drawn(indices, token_ids)
        for word in range(5):
            other = token_ids.clone()
            other[:, word] = 4 + (token_ids[:, word] - 3) % 8
            assert not torch.allclose(reading.logits_as_drawn(indices, other), read)

    def test_code_by_code_it_is_the_same(self):
        reading, (indices, token_ids) = of_large_weights(), pairs()
        sequences = ReadingSequences(reading.prior, reading.reader, token_ids)
        steps = step_by_step(sequences, indices)
        torch.testing.assert_close(steps, reading.logits_as_drawn(indices, token_ids), rtol=1e-4, atol=1e-4)

    def test_sequences_are_dropped_and_doubled_with_their_words(self):
        reading, (indices, token_ids) = of_large_weights(), pairs()
        rows = torch.tensor([2, 0, 2])
        kept = ReadingSequences(reading.prior, reading.reader, token_ids)
        others = ReadingSequences(reading.prior, reading.reader, token_ids[rows])
        step_by_step(kept, indices[:, :4])
        step_by_step(others, indices[rows, :4])
        kept.keep(rows)
        torch.testing.assert_close(kept.step(), others.step())


class TestTraining:
    def test_only_the_reader_learns(self):
        reading = untrained().train()
        assert not reading.prior.training
        assert not reading.prior.transformer.training
        assert reading.reader.training
        reading.loss(pairs()).total.backward()
        assert all(parameter.grad is None for parameter in reading.prior.parameters())
        assert any(
            parameter.grad is not None and parameter.grad.any() for parameter in reading.reader.parameters()
        )

    def test_it_learns_to_say_what_the_words_say(self):
        reading = untrained().train()
        for parameter in reading.prior.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # small ones could not say anything with certainty
        words = torch.randint(4, 12, (64, 5))
        codes = torch.cat([words, words[:, :1]], dim=1) - 4  # each code is a word's
        optimizer = torch.optim.Adam(reading.reader.parameters(), lr=0.02)
        first = reading.loss(CodedPairs(codes, words)).total.item()
        for _ in range(150):
            optimizer.zero_grad()
            loss = reading.loss(CodedPairs(codes, words)).total
            loss.backward()
            optimizer.step()
        reading.eval()
        told = reading.loss(CodedPairs(codes, words)).total.item()
        misled = reading.loss(CodedPairs(codes, words.roll(1, 0))).total.item()
        assert told < 0.5 * first
        assert told < 0.5 * misled

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (1.0, 0.5)])
    def test_words_are_hidden_and_what_ends_a_caption_is_not(self, share: float, expected: float):
        config = dataclasses.replace(READER, share_hidden=share)
        reading = ReadingPrior(Prior(PRIOR), CaptionReader(config)).train()
        words = torch.tensor([7, 9, 8, CaptionTokenizer.end_id, CaptionTokenizer.pad_id]).expand(4000, -1)
        seen = []
        reading.reader.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        reading.loss(CodedPairs(torch.randint(9, (4000, 6)), words))
        hidden = seen[0] == CaptionTokenizer.mask_id
        assert not hidden[:, 3:].any()
        assert float(hidden[:, :3].float().mean()) == pytest.approx(expected, abs=0.03)
        assert seen[0][~hidden].equal(words[~hidden])

    def test_in_eval_mode_nothing_is_hidden(self):
        reading, batch = of_large_weights(), pairs()
        assert reading.loss(batch).total == reading.loss(batch).total
