import dataclasses
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mxqvae.autoencoder.code_layout import Segment, possible_codes
from mxqvae.config import from_json, to_json
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.transformer import CaptionFirstConfig, Prior, PriorConfig, PriorLosses

SMALL = PriorConfig(
    num_codes=9,
    sequence_length=11,
    transformer=TransformerConfig(num_layers=2, width=12, num_heads=3, dropout=0.1),
)


def test_the_paper_s_size():
    with torch.device("meta"):
        prior = Prior(PriorConfig())
    assert 25.2e6 < sum(parameter.numel() for parameter in prior.parameters()) < 25.6e6


def test_the_start_is_gpt_2_s():
    prior = Prior(SMALL)
    for module in prior.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.3)
        if isinstance(module, nn.Linear) and module.bias is not None:
            assert not module.bias.any()


class TestLogits:
    def test_there_is_one_for_each_code_and_none_for_the_start(self):
        assert Prior(SMALL).logits(torch.randint(9, (2, 11))).shape == (2, 11, 9)

    @pytest.mark.parametrize("position", [0, 4, 9])
    def test_a_code_changes_those_after_it_and_none_before(self, position: int):
        prior = Prior(SMALL).eval()
        indices = torch.randint(9, (1, 11))
        changed = indices.clone()
        changed[0, position] = (indices[0, position] + 1) % 9
        before, after = prior.logits(indices)[0], prior.logits(changed)[0]
        assert before[: position + 1].equal(after[: position + 1])
        assert (before[position + 1 :] - after[position + 1 :]).abs().amax(1).all()

    def test_position_matters(self):
        prior = Prior(SMALL).eval()
        logits = prior.logits(torch.full((1, 11), 4))[0]
        assert (logits[1:] - logits[:-1]).abs().amax(1).all()

    def test_dropout_works_in_training_only(self):
        prior, indices = Prior(SMALL), torch.randint(9, (2, 11))
        assert not prior.logits(indices).equal(prior.logits(indices))
        prior.eval()
        assert prior.logits(indices).equal(prior.logits(indices))


SEGMENTS = (
    Segment(modality="text", length=4, num_codes=3),
    Segment(modality="image", length=7, num_codes=6),
)
SEGMENTED = dataclasses.replace(SMALL, segments=SEGMENTS)


class TestSegments:
    def test_codes_of_another_segment_are_impossible(self):
        possible = possible_codes(SEGMENTS)
        indices = torch.multinomial(possible.float(), 2, replacement=True).T
        logits = Prior(SEGMENTED).logits(indices)
        assert logits.isfinite().equal(possible.expand(2, -1, -1))
        assert (logits[~possible.expand(2, -1, -1)] == -math.inf).all()

    def test_the_others_keep_their_logits(self):
        prior, plain, indices = Prior(SEGMENTED).eval(), Prior(SMALL).eval(), torch.randint(9, (2, 11))
        plain.load_state_dict(prior.state_dict())
        logits = prior.logits(indices)
        assert logits[logits.isfinite()].equal(plain.logits(indices)[logits.isfinite()])

    def test_an_untrained_prior_knows_the_segments(self):
        possible = possible_codes(SEGMENTS)
        indices = torch.multinomial(possible.float(), 50, replacement=True).T
        loss = Prior(SEGMENTED).loss(indices).total
        expected = (4 * math.log(3) + 7 * math.log(6)) / 11
        assert float(loss.detach()) == pytest.approx(expected, abs=0.05)
        loss.backward()

    def test_the_loss_and_its_gradients_are_those_of_all_logits(self):
        prior = Prior(SEGMENTED).eval()
        indices = torch.multinomial(possible_codes(SEGMENTS).float(), 20, replacement=True).T
        parameters = list(prior.parameters())
        loss = prior.loss(indices).total
        surprise = torch.nn.functional.cross_entropy(prior.logits(indices).flatten(0, 1), indices.flatten())
        torch.testing.assert_close(loss, surprise)
        gradients = (torch.autograd.grad(some, parameters) for some in (loss, surprise))
        torch.testing.assert_close(*gradients)

    def test_sums_that_do_not_fit_are_refused(self):
        for change in ({"num_codes": 10}, {"sequence_length": 12}):
            with pytest.raises(ValidationError, match="must be the sums over segments, 9 and 11"):
                dataclasses.replace(SEGMENTED, **change)

    def test_the_config_is_read_back(self):
        assert from_json(PriorConfig, to_json(SEGMENTED), "config.json") == SEGMENTED

    def test_choices_are_those_of_the_largest_segment(self):
        assert (SMALL.num_choices, SEGMENTED.num_choices) == (9, 6)


class TestLoss:
    def test_it_is_the_mean_surprise_of_all_codes(self):
        prior, indices = Prior(SMALL).eval(), torch.randint(9, (2, 11))
        surprise = 0.0
        for row, codes in zip(prior.logits(indices).tolist(), indices.tolist(), strict=True):
            for logits, code in zip(row, codes, strict=True):
                surprise += math.log(sum(math.exp(logit) for logit in logits)) - logits[code]
        assert float(prior.loss(indices).total.detach()) == pytest.approx(surprise / 22, rel=1e-5)

    def test_an_untrained_prior_knows_nothing(self):
        loss = Prior(SMALL).loss(torch.randint(9, (50, 11))).total
        assert float(loss.detach()) == pytest.approx(math.log(9), abs=0.05)

    def test_a_rule_is_soon_learnt(self):
        """After the first code, each code is the one before it plus 2: one unknown code in 11."""
        prior = Prior(SMALL)
        optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-2)
        for _ in range(120):
            indices = (torch.randint(9, (32, 1)) + 2 * torch.arange(11)) % 9
            loss = prior.loss(indices).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert math.log(9) / 11 - 0.05 < float(loss.detach()) < 0.5 * math.log(9)


def test_the_summary_is_the_mean_over_steps():
    figures = Prior(SMALL).summarise(PriorLosses(torch.tensor(6.0)), 3)
    assert figures == {"total": 2.0, "prior_perplexity": pytest.approx(math.exp(2))}


@pytest.mark.parametrize("change", [{"num_codes": 1}, {"sequence_length": 0}])
def test_impossible_sizes_are_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        PriorConfig(**change)


CAPTION_FIRST = dataclasses.replace(SMALL, caption_first=CaptionFirstConfig(num_codes=3, share_left_out=0.5))


class TestCaptionFirst:
    def test_the_order_is_the_caption_s_codes_then_the_image_s(self):
        assert CAPTION_FIRST.order == [8, 9, 10, 0, 1, 2, 3, 4, 5, 6, 7]
        assert SMALL.order == list(range(11))
        assert CAPTION_FIRST.caption_positions == range(8, 11)
        assert not SMALL.caption_positions

    @pytest.mark.parametrize("place", [0, 2, 3, 9])
    def test_a_code_changes_those_drawn_after_it_and_none_before(self, place: int):
        prior = Prior(CAPTION_FIRST).eval()
        indices, order = torch.randint(9, (1, 11)), CAPTION_FIRST.order
        changed = indices.clone()
        changed[0, order[place]] = (indices[0, order[place]] + 1) % 9
        before, after = prior.logits(indices)[0, order], prior.logits(changed)[0, order]
        assert before[: place + 1].equal(after[: place + 1])
        assert (before[place + 1 :] - after[place + 1 :]).abs().amax(1).all()

    def test_in_eval_mode_all_codes_count(self):
        prior, indices = Prior(CAPTION_FIRST).eval(), torch.randint(9, (4, 11))
        surprise = torch.nn.functional.cross_entropy(prior.logits(indices).flatten(0, 1), indices.flatten())
        torch.testing.assert_close(prior.loss(indices).total, surprise)

    def test_the_loss_is_that_of_all_sequences_at_once(self, monkeypatch: pytest.MonkeyPatch):
        """Pairs without their captions are fewer codes: a mean of the parts' means would weigh them more."""
        caption = CaptionFirstConfig(num_codes=3, share_left_out=0.5)
        layers = dataclasses.replace(SMALL.transformer, dropout=0.0)
        prior = Prior(dataclasses.replace(SMALL, transformer=layers, caption_first=caption))
        indices, losses = torch.randint(9, (7, 11)), []
        for num in (1, 2, 7):
            monkeypatch.setattr("mxqvae.prior.transformer.SEQUENCES_AT_A_TIME", num)
            torch.manual_seed(0)
            losses.append(prior.loss(indices).total)
        torch.testing.assert_close(losses, losses[:1] * 3)

    def test_in_training_captions_are_left_out_of_some_pairs(self):
        """Where they are left out of all, nothing is learned of them, nor from them."""
        always = dataclasses.replace(SMALL.transformer, dropout=0.0)
        caption = CaptionFirstConfig(num_codes=3, share_left_out=1 - 1e-7)
        prior = Prior(dataclasses.replace(SMALL, transformer=always, caption_first=caption))
        indices = torch.randint(9, (4, 11))
        others = torch.cat([indices[:, :8], torch.randint(9, (4, 3))], 1)
        assert prior.loss(indices).total.equal(prior.loss(others).total)
        hidden = torch.cat([indices[:, :8], torch.full((4, 3), prior.start_index)], 1)
        image_logits = prior.logits(hidden)[:, :8]
        surprise = torch.nn.functional.cross_entropy(image_logits.flatten(0, 1), indices[:, :8].flatten())
        torch.testing.assert_close(prior.loss(indices).total, surprise)

    def test_an_image_s_code_is_learned_from_its_caption_and_without_it(self):
        """The caption names the image's only code, which is one of two: log 2 without it, 0 with it."""
        caption = CaptionFirstConfig(num_codes=1, share_left_out=0.5)
        prior = Prior(dataclasses.replace(SMALL, num_codes=4, sequence_length=2, caption_first=caption))
        optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-2)
        fading = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=250)
        for _ in range(250):
            code = torch.randint(2, (64, 1))
            loss = prior.loss(torch.cat([code, code + 2], 1)).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fading.step()
        prior.eval()
        shares = prior.logits(torch.tensor([[0, 2], [0, 3], [0, prior.start_index]]))[:, 0].softmax(-1)
        torch.testing.assert_close(
            shares[:, :2], torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), atol=0.1, rtol=0
        )

    def test_the_config_is_read_back(self):
        assert from_json(PriorConfig, to_json(CAPTION_FIRST), "config.json") == CAPTION_FIRST

    @pytest.mark.parametrize(
        ("config", "change", "message"),
        [
            (SMALL, {"caption_first": CaptionFirstConfig(num_codes=11)}, "must be below 11, all codes"),
            (
                SEGMENTED,
                {"caption_first": CaptionFirstConfig(num_codes=4)},
                "put the caption's segment first",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, config: PriorConfig, change: dict[str, Any], message: str):
        with pytest.raises(ValidationError, match=message):
            dataclasses.replace(config, **change)
