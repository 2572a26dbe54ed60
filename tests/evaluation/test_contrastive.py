import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import contrastive
from mxqvae.evaluation.contrastive import ContrastiveConfig, ContrastiveModel, JointEmbedding
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.training.loop import TrainingConfig

CAPTIONS = ["a red dog", "two blue cats", "a green bird on a tree", "a red dog"]
LAYER = TransformerConfig(num_layers=1, width=8, num_heads=2, dropout=0.1)


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train_subwords(CAPTIONS, vocab_size=300, max_length=8)


@pytest.fixture
def config(tokenizer: CaptionTokenizer) -> ContrastiveConfig:
    return ContrastiveConfig(
        image=ImageConfig(image_size=16, strides=(4, 2), widths=(4, 8), num_residual_blocks=1),
        vocab_size=tokenizer.vocab_size,
        caption_length=8,
        text=AttentiveTextConfig(num_latents=2, encoder=LAYER, decoder=LAYER),
        latent_size=8,
        image_layers=LAYER,
        embedding_size=6,
        training=TrainingConfig(num_steps=1),
    )


@pytest.fixture
def embedding(config: ContrastiveConfig, tokenizer: CaptionTokenizer) -> JointEmbedding:
    """Untrained."""
    return JointEmbedding(ContrastiveModel(config), tokenizer)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(256, (4, 16, 16, 3), dtype=torch.uint8)


class TestModel:
    def test_vectors_have_length_one(self, config: ContrastiveConfig, tokenizer: CaptionTokenizer):
        model = ContrastiveModel(config)
        for vectors in (
            model.embed_images(torch.rand(4, 3, 16, 16)),
            model.embed_captions(tokenizer.encode(CAPTIONS)),
        ):
            assert vectors.shape == (4, 6)
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))

    @torch.no_grad()
    def test_the_loss_is_the_cross_entropy_of_both_directions(
        self, config: ContrastiveConfig, tokenizer: CaptionTokenizer
    ):
        model = ContrastiveModel(config).eval()
        batch = PairBatch(torch.rand(3, 3, 16, 16), tokenizer.encode(CAPTIONS[:3]))
        images, captions = model.embed_images(batch.images), model.embed_captions(batch.token_ids)
        logits = (images @ captions.T / 0.07).tolist()
        total = 0.0
        for own in range(3):
            for row in (logits[own], [line[own] for line in logits]):
                total -= row[own] - math.log(sum(math.exp(each) for each in row))
        losses = model.loss(batch)
        assert float(losses.total) == pytest.approx(total / 6, rel=1e-4)
        found = [max(range(3), key=logits[own].__getitem__) == own for own in range(3)]
        assert float(losses.captions_found) == pytest.approx(sum(found) / 3)

    @pytest.mark.parametrize("same", ["caption", "image"])
    @torch.no_grad()
    def test_twins_are_no_wrong_answers(
        self, config: ContrastiveConfig, tokenizer: CaptionTokenizer, same: str
    ):
        """With all captions or all images equal there is no wrong answer left, and nothing to learn."""
        model = ContrastiveModel(config).eval()
        images = torch.rand(3, 3, 16, 16)
        captions = ["a red dog"] * 3 if same == "caption" else CAPTIONS[:3]
        batch = PairBatch(
            images[:1].expand_as(images) if same == "image" else images, tokenizer.encode(captions)
        )
        assert float(model.loss(batch).total) == 0

    @torch.no_grad()
    def test_losses_are_averaged_for_the_log(self, config: ContrastiveConfig, tokenizer: CaptionTokenizer):
        model = ContrastiveModel(config).eval()
        losses = model.loss(PairBatch(torch.rand(3, 3, 16, 16), tokenizer.encode(CAPTIONS[:3])))
        sums = type(losses)(*(2 * each for each in losses))
        assert model.summarise(sums, 2)["total"] == pytest.approx(float(losses.total))

    def test_configs_that_do_not_fit_are_refused(self, config: ContrastiveConfig):
        with pytest.raises(ValueError, match=r"image_layers\.width must be latent_size"):
            replace(config, latent_size=4)
        with pytest.raises(ValueError, match="captions of 7 words cannot be divided among 2 latents"):
            replace(config, caption_length=7)


class TestEmbedding:
    def test_neither_batches_nor_order_matter(
        self, embedding: JointEmbedding, images: Tensor, monkeypatch: pytest.MonkeyPatch
    ):
        of_images, of_captions = embedding.embed_images(images), embedding.embed_captions(CAPTIONS)
        monkeypatch.setattr(contrastive, "PAIRS_AT_A_TIME", 3)
        torch.testing.assert_close(embedding.embed_images(images.flip(0)).flip(0), of_images)
        torch.testing.assert_close(embedding.embed_captions(CAPTIONS[::-1]).flip(0), of_captions)

    def test_a_pairs_score_is_the_cosine_of_its_vectors(self, embedding: JointEmbedding, images: Tensor):
        cosines = embedding.embed_images(images) @ embedding.embed_captions(CAPTIONS).T
        torch.testing.assert_close(embedding.score(images, CAPTIONS), cosines.diagonal())

    def test_words_beyond_the_longest_caption_are_cut(self, embedding: JointEmbedding):
        long = " ".join(["a red dog"] * 9)
        assert embedding.embed_captions([long]).shape == (1, 6)

    def test_images_of_another_size_are_refused(self, embedding: JointEmbedding, images: Tensor):
        with pytest.raises(
            MxqvaeError, match=r"reads \(N, 16, 16, 3\) torch.uint8 images, not \(4, 8, 16, 3\)"
        ):
            embedding.embed_images(images[:, :8])

    def test_it_comes_back_from_disk(self, embedding: JointEmbedding, images: Tensor, tmp_path: Path):
        embedding.save_pretrained(tmp_path)
        loaded = JointEmbedding.from_pretrained(tmp_path)
        assert loaded.model.config == embedding.model.config
        assert loaded.name == "our contrastive model, 6 numbers, trained on real pairs"
        scores = embedding.score(images, CAPTIONS)
        torch.testing.assert_close(loaded.score(images, CAPTIONS), scores, rtol=0, atol=0.01)  # float16

    def test_a_folder_without_one_is_named(self, tmp_path: Path):
        with pytest.raises(
            MxqvaeError, match=r"config\.json is missing; train one with `mxqvae train contrast"
        ):
            JointEmbedding.from_pretrained(tmp_path)

    def test_another_tokenizer_is_refused(self, embedding: JointEmbedding, tmp_path: Path):
        embedding.save_pretrained(tmp_path)
        CaptionTokenizer.train_subwords(CAPTIONS, vocab_size=300, max_length=6).save(
            tmp_path / "tokenizer.json"
        )
        with pytest.raises(MxqvaeError, match=r"tokenizer\.json does not fit the weights beside it"):
            JointEmbedding.from_pretrained(tmp_path)
