"""Recipes: named runs. Each holds the presets of both stages and how long they learn."""

from collections.abc import Callable
from dataclasses import dataclass

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.data.masking import MaskingConfig
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.sampling import SamplingConfig
from mxqvae.prior.transformer import PriorConfig
from mxqvae.training.loop import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train both stages on a data set, from its captions to weights."""

    description: str
    """One line: what it is for, and what it costs."""
    num_processes: int
    """Processes that share each batch; part of the recipe, since it decides the random draws."""
    caption_length: int | None
    """Words that captions are padded to; none: what the longest one needs."""
    autoencoder: Callable[[CaptionTokenizer], MXQVAEConfig]
    """The autoencoder for a vocabulary and caption length."""
    autoencoder_training: TrainingConfig
    """How stage 1 learns."""
    prior: Callable[[MXQVAEConfig], PriorConfig]
    """The prior over the codes of an autoencoder."""
    prior_training: TrainingConfig
    """How stage 2 learns."""
    sampling: SamplingConfig
    """How codes are drawn."""
    num_refinements: int
    """How often drawn codes pass through stage 1."""


def paper_autoencoder(tokenizer: CaptionTokenizer) -> MXQVAEConfig:
    """The official code's 64-pixel model, with the data set's vocabulary in place of 30,522 WordPieces."""
    return MXQVAEConfig(vocab_size=tokenizer.vocab_size, caption_length=tokenizer.max_length)


def paper_prior(autoencoder: MXQVAEConfig) -> PriorConfig:
    """The official code's prior: 8 layers of width 512."""
    return PriorConfig(num_codes=autoencoder.quantizer.num_codes, sequence_length=autoencoder.sequence_length)


def cpu_autoencoder(tokenizer: CaptionTokenizer) -> MXQVAEConfig:
    """A tenth of the paper's size, for two cores; docs/design.md says what each part was chosen against."""
    return MXQVAEConfig(
        vocab_size=tokenizer.vocab_size,
        caption_length=tokenizer.max_length,
        latent_size=128,
        image=ImageConfig(strides=(4, 2), widths=(48, 128), num_residual_blocks=2),
        text=AttentiveTextConfig(num_latents=8),
        joint=TransformerConfig(num_layers=2, width=128, num_heads=4),
        joint_positions=True,
        quantizer=QuantizerConfig(num_codes=512, code_size=64, average_decay=0.99, reset_below=1.0),
        identity_mixing=True,
        masking=MaskingConfig(random_word_share=0.5),
    )


def cpu_prior(autoencoder: MXQVAEConfig) -> PriorConfig:
    """A prior that two cores train in under an hour."""
    return PriorConfig(
        num_codes=autoencoder.quantizer.num_codes,
        sequence_length=autoencoder.sequence_length,
        transformer=TransformerConfig(num_layers=6, width=192, num_heads=3, dropout=0.1),
    )


RECIPES = {
    "caption-mnist-cpu": Recipe(
        description="Caption MNIST at 64 pixels with the cpu preset: both stages on two cores",
        num_processes=2,
        caption_length=40,
        autoencoder=cpu_autoencoder,
        autoencoder_training=TrainingConfig(num_steps=8_000, batch_size=128, learning_rate=2e-3),
        prior=cpu_prior,
        prior_training=TrainingConfig(
            num_steps=10_000,
            batch_size=128,
            learning_rate=1.5e-3,
            second_moment_decay=0.99,
            num_warmup_steps=300,
        ),
        sampling=SamplingConfig(),
        num_refinements=2,
    ),
    "caption-mnist-paper": Recipe(
        description="Caption MNIST at 64 pixels with the paper's sizes: for a GPU",
        num_processes=1,
        caption_length=64,
        autoencoder=paper_autoencoder,
        autoencoder_training=TrainingConfig(num_steps=30_000, batch_size=256, learning_rate=5e-4),
        prior=paper_prior,
        prior_training=TrainingConfig(num_steps=20_000, batch_size=256, learning_rate=5e-4),
        sampling=SamplingConfig(top_k=10, top_p=1.0),
        num_refinements=0,
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        MxqvaeError: There is none; lists those there are.
    """
    if name not in RECIPES:
        raise MxqvaeError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]
