import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.losses import AutoencoderLosses
from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
from mxqvae.autoencoder.quantizer import AveragingVectorQuantizer, QuantizerConfig
from mxqvae.autoencoder.text import ConvolutionalTextConfig
from mxqvae.data.batch import PairBatch
from mxqvae.data.masking import MaskingConfig
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.pretrained import load_pretrained, save_pretrained

AVERAGING = QuantizerConfig(num_codes=10, code_size=6, average_decay=0.9, reset_below=0.1)


def config(**changes: Any) -> MXQVAEConfig:
    """16 image codes and 4 text codes out of 10, captions of 16 words out of 12."""
    return MXQVAEConfig(
        **{
            "vocab_size": 12,
            "caption_length": 16,
            "latent_size": 8,
            "image": ImageConfig(image_size=32, strides=(4, 2), widths=(6, 8), num_residual_blocks=1),
            "text": ConvolutionalTextConfig(num_latents=4, widths=(6, 8, 8), mixing_size=5),
            "joint": TransformerConfig(num_layers=1, width=8, num_heads=2),
            "quantizer": QuantizerConfig(num_codes=10, code_size=6),
            **changes,
        }
    )


def pairs(num: int) -> PairBatch:
    """Random pairs; captions of 3 to 15 words, [END] and padding."""
    token_ids = torch.randint(4, 12, (num, 16))
    lengths = torch.randint(3, 16, (num, 1))
    token_ids = token_ids.where(torch.arange(16) < lengths, 0)
    return PairBatch(torch.rand(num, 3, 32, 32), token_ids.scatter(1, lengths, 3))


def latents_of(model: MXQVAE, batch: PairBatch) -> Tensor:
    """What the quantizer is given."""
    seen: list[Tensor] = []
    hook = model.quantizer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval().encode(batch)
    hook.remove()
    return seen[0]


class TestPaper:
    def test_its_sizes(self):
        with torch.device("meta"):
            model = MXQVAE(MXQVAEConfig(vocab_size=30_522))
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(32.8e6, rel=0.005)
        assert isinstance(model.joint_encoder, nn.Module)
        layers = [sum(p.numel() for p in layer.parameters()) for layer in model.joint_encoder.layers]  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
        assert layers == [198_272] * 4
        assert sum(p.numel() for p in model.image_encoder.parameters()) == 5_214_016
        assert sum(p.numel() for p in model.image_decoder.parameters()) == 4_885_955

    @pytest.mark.parametrize(
        ("image_size", "caption_length", "num_latents", "length"),
        [(64, 64, 8, 72), (128, 68, 16, 272), (128, 80, 20, 276)],
    )
    def test_its_code_lengths(self, image_size: int, caption_length: int, num_latents: int, length: int):
        paper = MXQVAEConfig(
            vocab_size=31,
            caption_length=caption_length,
            image=ImageConfig(image_size=image_size),
            text=ConvolutionalTextConfig(num_latents=num_latents),
        )
        assert paper.sequence_length == length
        assert paper.num_image_codes == length - num_latents


class TestEncodingAndDecoding:
    @pytest.mark.parametrize("change", [{}, {"joint": None}, {"joint_positions": True}])
    def test_shapes_and_ranges(self, change: dict[str, Any]):
        model = MXQVAE(config(**change)).eval()
        indices = model.encode(pairs(3))
        assert indices.shape == (3, 20)
        assert indices.dtype == torch.int64
        assert 0 <= int(indices.min()) <= int(indices.max()) < 10
        decoded = model.decode(torch.randint(10, (3, 20)))
        assert decoded.images.shape == (3, 3, 32, 32)
        assert 0 <= float(decoded.images.min()) <= float(decoded.images.max()) <= 1
        assert decoded.token_ids.shape == (3, 16)
        assert 0 <= int(decoded.token_ids.min()) <= int(decoded.token_ids.max()) < 12

    def test_a_decoded_caption_is_padded_past_its_first_end(self, monkeypatch: pytest.MonkeyPatch):
        model = MXQVAE(config()).eval()
        guesses = torch.tensor([[5, 3, 7, 3] + [6] * 12, [5] * 16])
        monkeypatch.setattr(model, "decode_captions", lambda codes: nn.functional.one_hot(guesses, 12))
        token_ids = model.decode(torch.randint(10, (2, 20))).token_ids
        assert token_ids.tolist() == [[5, 3] + [0] * 14, [5] * 16]

    def test_nothing_is_masked_or_drawn(self):
        model = MXQVAE(config()).eval()
        batch = pairs(3)
        assert model.encode(batch).equal(model.encode(batch))
        assert latents_of(model, batch).equal(latents_of(model, batch))

    def test_pairs_do_not_meet_in_a_batch(self):
        model, batch = MXQVAE(config()), pairs(3)
        alone = PairBatch(batch.images[1:2], batch.token_ids[1:2])
        torch.testing.assert_close(latents_of(model, batch)[1:2], latents_of(model, alone))

    def test_codes_start_at_either_half_equally_often(self):
        quantizer = MXQVAE(config(quantizer=AVERAGING)).quantizer
        assert isinstance(quantizer, AveragingVectorQuantizer)
        halves = quantizer.position_weights.split([16, 4])
        assert [float(half.sum()) for half in halves] == pytest.approx([1, 1])

    def test_image_latents_come_first(self):
        model, batch = MXQVAE(config(joint=None)), pairs(1)
        other_words = PairBatch(batch.images, pairs(1).token_ids)
        moved = (latents_of(model, batch) - latents_of(model, other_words)).abs().sum(-1)[0] > 0
        assert moved.tolist() == [False] * 16 + [True] * 4

    def test_the_joint_encoder_lets_the_modalities_meet(self):
        model, batch = MXQVAE(config()), pairs(1)
        other_words = PairBatch(batch.images, pairs(1).token_ids)
        assert (latents_of(model, batch) - latents_of(model, other_words)).abs().sum(-1).all()

    def test_both_decoders_read_all_codes(self):
        model = MXQVAE(config()).eval()
        codes = torch.randn(1, 20, 6)
        changed = codes.repeat(20, 1, 1)
        changed[range(20), range(20)] = torch.randn(20, 6)
        with torch.no_grad():
            for decode in (model.decode_images, model.decode_captions):
                assert (decode(changed) - decode(codes)).flatten(1).abs().amax(1).all()

    def test_identity_mixing_starts_with_each_position_s_own_code(self):
        weight = MXQVAE(config(identity_mixing=True)).image_mixing.weight
        assert weight.argmax(1).tolist() == list(range(16))


class TestLoss:
    def test_the_total_weighs_the_parts(self):
        losses = MXQVAE(config(commitment_weight=0.5)).loss(pairs(4))
        parts = losses.image + losses.caption + losses.codebook + 0.5 * losses.commitment
        torch.testing.assert_close(losses.total, parts)
        assert all(value.dim() == 0 for name, value in losses._asdict().items() if name != "usage")

    def test_an_untrained_model_knows_nothing(self):
        losses = MXQVAE(config()).loss(pairs(16))
        assert float(losses.caption.detach()) == pytest.approx(math.log(12), abs=0.5)

    def test_every_code_is_counted(self):
        losses = MXQVAE(config()).loss(pairs(4))
        assert losses.usage.shape == (10,)
        assert int(losses.usage.sum()) == 4 * 20

    def test_inputs_are_masked_and_targets_are_not(self):
        everything = MaskingConfig(patch_share=1.0, word_share=1.0)
        model = MXQVAE(config(masking=everything))
        first, second = pairs(1), pairs(1)
        second = PairBatch(second.images, second.token_ids.where(first.token_ids > 0, 0))
        first = PairBatch(first.images, first.token_ids.where(second.token_ids > 0, 0))
        losses = [model.loss(batch) for batch in (first, second)]
        assert losses[0].usage.equal(losses[1].usage)
        assert not losses[0].image.isclose(losses[1].image)
        assert not losses[0].caption.isclose(losses[1].caption)

    def test_masks_are_drawn_anew(self):
        model, batch = MXQVAE(config()), pairs(4)
        assert not model.loss(batch).total.equal(model.loss(batch).total)

    def test_words_right_leaves_padding_out(self, monkeypatch: pytest.MonkeyPatch):
        model, batch = MXQVAE(config()), pairs(4)
        guesses = batch.token_ids.where(batch.token_ids != 0, 5)
        logits = nn.functional.one_hot(guesses, 12).float()
        monkeypatch.setattr(model, "decode_captions", lambda codes: logits)
        assert float(model.loss(batch).words_right) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"quantizer": AVERAGING},
            {"joint": None, "masking": None},
            {"joint_positions": True, "identity_mixing": True, "quantizer": AVERAGING},
        ],
    )
    def test_a_few_pairs_are_soon_known(self, change: dict[str, Any]):
        model, batch = MXQVAE(config(**change)), pairs(8)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        totals = []
        for _ in range(60):
            losses = model.loss(batch)
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()
            totals.append(float(losses.total.detach()))
        assert sum(totals[-5:]) < 0.9 * sum(totals[:5])


class TestPerceptualLoss:
    def test_it_reaches_the_decoder(self):
        model = MXQVAE(config(perceptual_weight=0.5, masking=None))
        losses, weights = model.loss(pairs(2)), list(model.image_decoder.parameters())
        parts = losses.image + losses.caption + losses.codebook + 0.25 * losses.commitment
        torch.testing.assert_close(losses.total, parts + 0.5 * losses.perceptual)
        assert all(gradient.any() for gradient in torch.autograd.grad(losses.perceptual, weights))

    def test_without_it_nothing_changes_and_nothing_is_needed(self, no_feature_package: None):
        model, batch = MXQVAE(config(masking=None)), pairs(4)
        losses = model.loss(batch)
        assert losses.total.equal(losses.image + losses.caption + losses.codebook + 0.25 * losses.commitment)
        assert float(losses.perceptual) == 0

    def test_its_network_is_no_part_of_the_model(self, tmp_path: Path, no_feature_package: None):
        weighed = config(perceptual_weight=0.5)
        model = MXQVAE(weighed)
        assert model.state_dict().keys() == MXQVAE(config()).state_dict().keys()
        save_pretrained(tmp_path, weighed, model)
        loaded = load_pretrained(tmp_path, MXQVAEConfig, MXQVAE, "mend it")  # to sample takes no package
        assert loaded.config == weighed
        assert loaded.state_dict().keys() == model.state_dict().keys()

    def test_a_trained_model_does_not_hold_it(self):
        model = MXQVAE(config(perceptual_weight=0.5))
        before = list(model.state_dict())
        model.loss(pairs(2)).total.backward()
        assert list(model.state_dict()) == before


class TestSummary:
    def test_figures_are_means_over_steps(self):
        model = MXQVAE(config())
        sums = AutoencoderLosses(
            *(torch.tensor(float(value)) for value in (8, 4, 6, 2, 1, 0.5, 3)),
            usage=torch.tensor([30, 10, 0, 0, 0, 0, 0, 0, 0, 0]),
        )
        figures = model.summarise(sums, 4)
        assert figures == {
            "total": 2.0,
            "image": 1.0,
            "perceptual": 1.5,
            "caption": 0.5,
            "codebook": 0.25,
            "commitment": 0.125,
            "words_right": 0.75,
            "codebook_perplexity": pytest.approx(0.75**-0.75 * 0.25**-0.25),
            "dead_codes": 8,
        }


class TestConfig:
    def test_the_joint_encoder_is_as_wide_as_the_latents(self):
        with pytest.raises(ValidationError, match=r"joint\.width 8 differs from latent_size 16"):
            config(latent_size=16)

    def test_positions_need_the_joint_encoder_that_reads_them(self):
        with pytest.raises(ValidationError, match="joint_positions needs the joint encoder"):
            config(joint=None, joint_positions=True)

    def test_one_codebook_is_everywhere(self):
        assert (config().num_codes, config().segments) == (10, ())

    @pytest.mark.parametrize("weight", [-0.1, math.nan, "much"])
    def test_a_perceptual_weight_is_a_number_from_0_up(self, weight: Any):
        with pytest.raises(ValidationError, match="perceptual_weight"):
            config(perceptual_weight=weight)

    @pytest.mark.parametrize("vocab_size", [0, 4])
    def test_there_is_a_word_beside_the_special_tokens(self, vocab_size: int):
        with pytest.raises(ValidationError):
            config(vocab_size=vocab_size)
