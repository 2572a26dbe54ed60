import pytest
import torch
from pydantic import ValidationError

from mxqvae.autoencoder.code_layout import possible_codes
from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig, arrange
from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import ConvolutionalTextConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig, TextVQVAEConfig
from mxqvae.data.batch import PairBatch
from mxqvae.errors import MxqvaeError

IMAGE = ImageVQVAEConfig(
    latent_size=8,
    image=ImageConfig(image_size=32, strides=(4, 2), widths=(6, 8), num_residual_blocks=1),
    quantizer=QuantizerConfig(num_codes=10, code_size=6, average_decay=0.9, reset_below=0.1),
)
TEXT = TextVQVAEConfig(
    vocab_size=12,
    caption_length=16,
    latent_size=8,
    text=ConvolutionalTextConfig(num_latents=4, widths=(6, 8, 8), mixing_size=5),
    quantizer=QuantizerConfig(num_codes=7, code_size=6, average_decay=0.9, reset_below=0.1),
)
TOKENS = CaptionTokensConfig(vocab_size=12, caption_length=16)
IMAGE_FIRST = ConcatenatedConfig(parts=(IMAGE, TEXT))
TEXT_FIRST = ConcatenatedConfig(parts=(TEXT, IMAGE))
LAYOUTS = pytest.mark.parametrize(
    "config",
    [
        IMAGE_FIRST,
        TEXT_FIRST,
        ConcatenatedConfig(parts=(IMAGE, TOKENS)),
        ConcatenatedConfig(parts=(TOKENS, IMAGE)),
    ],
)


def pairs(num: int) -> PairBatch:
    """Random pairs; captions of 3 to 15 words, [END] and padding."""
    token_ids = torch.randint(4, 12, (num, 16))
    lengths = torch.randint(3, 16, (num, 1))
    token_ids = token_ids.where(torch.arange(16) < lengths, 0)
    return PairBatch(torch.rand(num, 3, 32, 32), token_ids.scatter(1, lengths, 3))


def build(config: ConcatenatedConfig) -> ConcatenatedAutoencoder:
    """In eval mode, with codebooks that lie among the latents."""
    torch.manual_seed(0)
    model = ConcatenatedAutoencoder(config)
    model.loss(pairs(8))
    return model.eval()


class TestEncodingAndDecoding:
    @LAYOUTS
    def test_every_code_is_one_of_its_segment(self, config: ConcatenatedConfig):
        indices = build(config).encode(pairs(5))
        assert indices.shape == (5, config.sequence_length)
        assert indices.dtype == torch.int64
        assert possible_codes(config.segments).expand(5, -1, -1).gather(2, indices[..., None]).all()

    @LAYOUTS
    def test_codes_become_pairs(self, config: ConcatenatedConfig):
        model, batch = build(config), pairs(3)
        decoded = model.decode(model.encode(batch))
        assert decoded.images.shape == (3, 3, 32, 32)
        assert 0 <= float(decoded.images.min()) <= float(decoded.images.max()) <= 1
        assert decoded.token_ids.shape == (3, 16)
        if TOKENS in config.parts:
            assert decoded.token_ids.equal(batch.token_ids)

    @LAYOUTS
    def test_the_halves_do_not_meet(self, config: ConcatenatedConfig):
        model, batch, other = build(config), pairs(6), pairs(6)
        length, is_image_first = IMAGE.segment.length, config.parts[0] == IMAGE
        image = slice(0, length) if is_image_first else slice(-length, None)
        text = slice(length, None) if is_image_first else slice(0, -length)
        indices = model.encode(batch)
        of_other_captions = model.encode(PairBatch(batch.images, other.token_ids))
        of_other_images = model.encode(PairBatch(other.images, batch.token_ids))
        assert indices[:, image].equal(of_other_captions[:, image])
        assert indices[:, text].equal(of_other_images[:, text])
        assert not indices[:, text].equal(of_other_captions[:, text])
        assert not indices[:, image].equal(of_other_images[:, image])

        mixed = torch.where(
            torch.isin(torch.arange(indices.shape[1]), torch.arange(indices.shape[1])[image]),
            indices,
            model.encode(other),
        )
        assert model.decode(mixed).images.equal(model.decode(indices).images)
        assert model.decode(mixed).token_ids.equal(model.decode(model.encode(other)).token_ids)

    def test_the_order_swaps_the_halves_and_nothing_else(self):
        batch = pairs(5)
        first, second = build(IMAGE_FIRST), build(TEXT_FIRST)
        image_codes, text_codes = first.encode(batch).split([16, 4], dim=1)
        # 7 text codes and 10 image codes are numbered through in the order of the segments.
        assert second.encode(batch).equal(torch.cat([text_codes - 10, image_codes + 7], dim=1))
        one, other = first.decode(first.encode(batch)), second.decode(second.encode(batch))
        assert one.images.equal(other.images)
        assert one.token_ids.equal(other.token_ids)


class TestLoss:
    def test_it_is_the_sum_of_the_parts(self):
        model, batch = build(IMAGE_FIRST), pairs(4)
        losses, image, text = model.loss(batch), model.image.loss(batch), model.text.loss(batch)
        assert losses.total.equal(image.total + text.total)
        assert (losses.image.equal(image.image), losses.caption.equal(text.caption)) == (True, True)
        assert losses.words_right.equal(text.words_right)
        assert losses.usage.tolist() == [*image.usage.tolist(), *text.usage.tolist()]

    def test_parts_learn_what_they_would_alone(self):
        model, batch = build(IMAGE_FIRST), pairs(4)
        model.loss(batch).total.backward()
        for part in (model.image, model.text):
            expected = [p.grad.clone() for p in part.parameters() if p.grad is not None]
            part.zero_grad()
            part.loss(batch).total.backward()
            torch.testing.assert_close([p.grad for p in part.parameters() if p.grad is not None], expected)

    def test_either_order_learns_the_same_weights(self):
        models = []
        for config in (IMAGE_FIRST, TEXT_FIRST):
            torch.manual_seed(0)
            model = ConcatenatedAutoencoder(config)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
            for _ in range(3):
                optimizer.zero_grad()
                model.loss(pairs(8)).total.backward()
                optimizer.step()
            models.append(model)
        first, second = (model.state_dict() for model in models)
        assert first.keys() == second.keys()
        assert all(value.equal(second[name]) for name, value in first.items())

    def test_the_summary_watches_each_codebook(self):
        model = build(TEXT_FIRST)
        with torch.no_grad():
            losses = model.loss(pairs(4))
        figures = model.summarise(losses, 1)
        assert figures["total"] == pytest.approx(float(losses.total))
        assert {name for name in figures if "code" in name} == {
            "codebook",
            *(
                f"{half}_{name}"
                for half in ("image", "text")
                for name in ("codebook_perplexity", "dead_codes")
            ),
        }
        text, image = losses.usage[:7], losses.usage[7:]
        assert figures["text_dead_codes"] == int((text == 0).sum())
        assert figures["image_dead_codes"] == int((image == 0).sum())
        assert 1 <= figures["text_codebook_perplexity"] <= 7


class TestArranging:
    @LAYOUTS
    def test_parts_are_taken_as_they_are(self, config: ConcatenatedConfig):
        trained, batch = build(IMAGE_FIRST), pairs(4)
        arranged = arrange(trained, config)
        assert arranged.config == config
        assert not arranged.training
        indices = arranged.encode(batch)
        decoded, expected = arranged.decode(indices), trained.decode(trained.encode(batch))
        assert decoded.images.equal(expected.images)
        assert decoded.token_ids.equal(batch.token_ids if TOKENS in config.parts else expected.token_ids)

    def test_the_trained_parts_stay_their_own(self):
        trained = build(IMAGE_FIRST)
        arranged = arrange(trained, TEXT_FIRST)
        before = [parameter.clone() for parameter in trained.parameters()]
        for parameter in arranged.parameters():
            torch.nn.init.zeros_(parameter)
        assert all(a.equal(b) for a, b in zip(before, trained.parameters(), strict=True))

    @pytest.mark.parametrize(
        ("trained", "wanted", "modality"),
        [
            (IMAGE_FIRST, ConcatenatedConfig(parts=(ImageVQVAEConfig(), TEXT)), "image"),
            (ConcatenatedConfig(parts=(IMAGE, TOKENS)), TEXT_FIRST, "text"),
        ],
    )
    def test_a_part_that_was_not_trained_is_named(
        self, trained: ConcatenatedConfig, wanted: ConcatenatedConfig, modality: str
    ):
        with pytest.raises(MxqvaeError) as refusal:
            arrange(build(trained), wanted)
        message = f"the {modality} part asked for has other settings than the trained one; train it anew"
        assert str(refusal.value) == message


class TestConfig:
    def test_sizes_are_sums_over_the_parts(self):
        assert (IMAGE_FIRST.num_codes, IMAGE_FIRST.sequence_length) == (17, 20)
        tokens_first = ConcatenatedConfig(parts=(TOKENS, IMAGE))
        assert (tokens_first.num_codes, tokens_first.sequence_length) == (22, 32)
        assert [segment.modality for segment in tokens_first.segments] == ["text", "image"]
        assert (tokens_first.vocab_size, tokens_first.caption_length) == (12, 16)
        assert (tokens_first.image, tokens_first.text) == (IMAGE, TOKENS)

    @pytest.mark.parametrize("parts", [(IMAGE, IMAGE), (TEXT, TOKENS)])
    def test_each_half_has_one_part(self, parts: tuple):
        with pytest.raises(ValidationError, match="parts must be one of images and one of captions"):
            ConcatenatedConfig(parts=parts)
