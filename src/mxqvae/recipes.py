"""Recipes: named runs. Each holds the presets of both stages and how long they learn.

Presets are functions of the module, not closures: a training process imports those of its companions by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mxqvae.autoencoder.concatenated import ConcatenatedConfig
from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig, TextVQVAEConfig
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
    autoencoder: Callable[[CaptionTokenizer], AutoencoderConfig]
    """The autoencoder for a vocabulary and caption length."""
    autoencoder_training: TrainingConfig
    """How stage 1 learns."""
    autoencoder_from: str | None = None
    """Recipe whose trained stage 1 has all parts of this one's, for `stages.derive_autoencoder`."""
    prior: Callable[[AutoencoderConfig], PriorConfig]
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


def paper_prior(autoencoder: AutoencoderConfig) -> PriorConfig:
    """The official code's prior: 8 layers of width 512."""
    return PriorConfig(
        num_codes=autoencoder.num_codes,
        sequence_length=autoencoder.sequence_length,
        segments=autoencoder.segments,
    )


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
        quantizer=QuantizerConfig(num_codes=2048, code_size=64, average_decay=0.99, reset_below=0.5),
        identity_mixing=True,
        masking=MaskingConfig(random_word_share=0.5),
    )


def cpu_prior(autoencoder: AutoencoderConfig) -> PriorConfig:
    """A prior that two cores train in under an hour."""
    return replace(
        paper_prior(autoencoder),
        transformer=TransformerConfig(num_layers=6, width=192, num_heads=3, dropout=0.1),
    )


def without_joint_encoder(tokenizer: CaptionTokenizer) -> MXQVAEConfig:
    """Row "without TC" of Table 1; its positions go with the joint encoder, which alone reads them."""
    return replace(cpu_autoencoder(tokenizer), joint=None, joint_positions=False)


def without_masking(tokenizer: CaptionTokenizer) -> MXQVAEConfig:
    """Row "without IM" of Table 1."""
    return replace(cpu_autoencoder(tokenizer), masking=None)


def only_shared_codebook(tokenizer: CaptionTokenizer) -> MXQVAEConfig:
    """Row "Only Sharing C" of Table 1: neither of the two; the mixing after the codebook stays."""
    return replace(without_joint_encoder(tokenizer), masking=None)


def image_vqvae(tokenizer: CaptionTokenizer) -> ImageVQVAEConfig:
    """The image half of the `cpu` autoencoder, alone."""
    joint = cpu_autoencoder(tokenizer)
    return ImageVQVAEConfig(latent_size=joint.latent_size, image=joint.image, quantizer=joint.quantizer)


def text_vqvae(tokenizer: CaptionTokenizer) -> TextVQVAEConfig:
    """The text half of the `cpu` autoencoder, alone."""
    joint = cpu_autoencoder(tokenizer)
    return TextVQVAEConfig(
        vocab_size=joint.vocab_size,
        caption_length=joint.caption_length,
        latent_size=joint.latent_size,
        text=joint.text,
        # A step has an eighth of the image's latents, so a code that wins an eighth as many is as alive.
        quantizer=replace(joint.quantizer, reset_below=0.125),
    )


def caption_tokens(tokenizer: CaptionTokenizer) -> CaptionTokensConfig:
    """Captions as they are."""
    return CaptionTokensConfig(vocab_size=tokenizer.vocab_size, caption_length=tokenizer.max_length)


def image_then_text(tokenizer: CaptionTokenizer) -> ConcatenatedConfig:
    """Baseline I&T of Table 2."""
    return ConcatenatedConfig(parts=(image_vqvae(tokenizer), text_vqvae(tokenizer)))


def text_then_image(tokenizer: CaptionTokenizer) -> ConcatenatedConfig:
    """Baseline T&I of Table 2."""
    return ConcatenatedConfig(parts=(text_vqvae(tokenizer), image_vqvae(tokenizer)))


def image_then_tokens(tokenizer: CaptionTokenizer) -> ConcatenatedConfig:
    """Baseline I_T_Emb of Table 2."""
    return ConcatenatedConfig(parts=(image_vqvae(tokenizer), caption_tokens(tokenizer)))


def tokens_then_image(tokenizer: CaptionTokenizer) -> ConcatenatedConfig:
    """Baseline T_Emb_I of Table 2."""
    return ConcatenatedConfig(parts=(caption_tokens(tokenizer), image_vqvae(tokenizer)))


_CPU = Recipe(
    description="Caption MNIST at 64 pixels with the cpu preset: both stages on two cores",
    num_processes=2,
    caption_length=40,
    autoencoder=cpu_autoencoder,
    autoencoder_training=TrainingConfig(num_steps=9_000, batch_size=128, learning_rate=2e-3),
    prior=cpu_prior,
    prior_training=TrainingConfig(
        num_steps=9_000,
        batch_size=128,
        learning_rate=1.5e-3,
        second_moment_decay=0.99,
        num_warmup_steps=300,
    ),
    sampling=SamplingConfig(),
    num_refinements=2,
)
# Stage 1 cannot mend what was quantized apart.
_BASELINE = replace(_CPU, num_refinements=0)
_REARRANGED = replace(_BASELINE, autoencoder_from="caption-mnist-cpu-i-t")

RECIPES = {
    "caption-mnist-cpu": _CPU,
    "caption-mnist-cpu-without-tc": replace(
        _CPU,
        description="caption-mnist-cpu without the joint encoder, for Table 1",
        autoencoder=without_joint_encoder,
    ),
    "caption-mnist-cpu-without-im": replace(
        _CPU,
        description="caption-mnist-cpu without input masking, for Table 1",
        autoencoder=without_masking,
    ),
    "caption-mnist-cpu-only-sharing-c": replace(
        _CPU,
        description="caption-mnist-cpu without joint encoder and masking, for Table 1",
        autoencoder=only_shared_codebook,
    ),
    "caption-mnist-cpu-i-t": replace(
        _BASELINE,
        description="Baseline of Table 2: image and text codes of two VQ-VAEs, image first",
        autoencoder=image_then_text,
    ),
    "caption-mnist-cpu-t-i": replace(
        _REARRANGED,
        description="Baseline of Table 2: image and text codes of two VQ-VAEs, text first",
        autoencoder=text_then_image,
    ),
    "caption-mnist-cpu-i-t-emb": replace(
        _REARRANGED,
        description="Baseline of Table 2: image codes, then the caption's tokens",
        autoencoder=image_then_tokens,
    ),
    "caption-mnist-cpu-t-emb-i": replace(
        _REARRANGED,
        description="Baseline of Table 2: the caption's tokens, then image codes",
        autoencoder=tokens_then_image,
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
