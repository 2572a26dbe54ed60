"""Presets: the sizes of both stages, as functions of what a data set's pairs look like.

They are functions of the module, not closures: a training process imports those of its companions by name.
"""

from dataclasses import replace

from mxqvae.autoencoder.concatenated import ConcatenatedConfig
from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import AttentiveTextConfig, ConvolutionalTextConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig, TextVQVAEConfig
from mxqvae.data.batch import PairShape
from mxqvae.data.masking import MaskingConfig
from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.reader import ReaderConfig
from mxqvae.prior.transformer import CaptionFirstConfig, PriorConfig
from mxqvae.recipes.recipe import ReaderRecipe
from mxqvae.training.loop import TrainingConfig


def paper_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """The official code's model, with the data set's vocabulary in place of 30,522 WordPieces."""
    return MXQVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        image=paper_image(pairs),
    )


def paper_prior(autoencoder: AutoencoderConfig) -> PriorConfig:
    """The official code's prior: 8 layers of width 512."""
    return PriorConfig(
        num_codes=autoencoder.num_codes,
        sequence_length=autoencoder.sequence_length,
        segments=autoencoder.segments,
    )


def cpu_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """A tenth of the paper's size, for two cores; docs/design.md says what each part was chosen against."""
    return MXQVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        latent_size=128,
        image=cpu_image(pairs),
        text=AttentiveTextConfig(num_latents=8),
        joint=TransformerConfig(num_layers=2, width=128, num_heads=4),
        joint_positions=True,
        quantizer=QuantizerConfig(num_codes=2048, code_size=64, average_decay=0.99, reset_below=0.5),
        identity_mixing=True,
        masking=MaskingConfig(random_word_share=0.5),
    )


def cpu_prior(autoencoder: AutoencoderConfig) -> PriorConfig:
    """A prior that two cores train in one to two hours; of a joint pair it draws the caption first."""
    joint = isinstance(autoencoder, MXQVAEConfig)
    return replace(
        paper_prior(autoencoder),
        transformer=TransformerConfig(num_layers=6, width=192, num_heads=3, dropout=0.1),
        caption_first=CaptionFirstConfig(num_codes=autoencoder.text.num_latents) if joint else None,
    )


def cpu_prior_with_all_captions(autoencoder: AutoencoderConfig) -> PriorConfig:
    """The same that never learns an image without its caption, which nothing draws any more."""
    prior = cpu_prior(autoencoder)
    caption = prior.caption_first and replace(prior.caption_first, share_left_out=0.0)
    return replace(prior, caption_first=caption)


def reader(autoencoder: AutoencoderConfig, prior: PriorConfig) -> ReaderConfig:
    """The reader of any preset's prior."""
    return ReaderConfig(
        vocab_size=autoencoder.vocab_size,
        caption_length=autoencoder.caption_length,
        prior=prior.transformer,
    )


CPU_READER = ReaderRecipe(
    config=reader,
    training=TrainingConfig(
        num_steps=2_000,
        batch_size=128,
        learning_rate=1.5e-3,
        second_moment_decay=0.99,
        num_warmup_steps=100,
    ),
)
"""An hour or so on two cores."""


def without_joint_encoder(pairs: PairShape) -> MXQVAEConfig:
    """Row "without TC" of Table 1; its positions go with the joint encoder, which alone reads them."""
    return replace(cpu_autoencoder(pairs), joint=None, joint_positions=False)


def without_masking(pairs: PairShape) -> MXQVAEConfig:
    """Row "without IM" of Table 1."""
    return replace(cpu_autoencoder(pairs), masking=None)


def only_shared_codebook(pairs: PairShape) -> MXQVAEConfig:
    """Row "Only Sharing C" of Table 1: neither of the two; the mixing after the codebook stays."""
    return replace(without_joint_encoder(pairs), masking=None)


def masks_only(pairs: PairShape) -> MXQVAEConfig:
    """The `cpu` autoencoder whose hidden words are all [MASK], as the paper's are: no lies in training."""
    return replace(cpu_autoencoder(pairs), masking=MaskingConfig(random_word_share=0.0))


def without_joint_encoder_masks_only(pairs: PairShape) -> MXQVAEConfig:
    """The same without the joint encoder: which of the two makes the model believe the image?"""
    return replace(without_joint_encoder(pairs), masking=MaskingConfig(random_word_share=0.0))


def image_vqvae(pairs: PairShape) -> ImageVQVAEConfig:
    """The image half of the `cpu` autoencoder, alone."""
    joint = cpu_autoencoder(pairs)
    return ImageVQVAEConfig(latent_size=joint.latent_size, image=joint.image, quantizer=joint.quantizer)


def text_vqvae(pairs: PairShape) -> TextVQVAEConfig:
    """The text half of the `cpu` autoencoder, alone."""
    joint = cpu_autoencoder(pairs)
    return TextVQVAEConfig(
        vocab_size=joint.vocab_size,
        caption_length=joint.caption_length,
        latent_size=joint.latent_size,
        text=joint.text,
        # A step has an eighth of the image's latents, so a code that wins an eighth as many is as alive.
        quantizer=replace(joint.quantizer, reset_below=joint.quantizer.reset_below / 8),
    )


def caption_tokens(pairs: PairShape) -> CaptionTokensConfig:
    """Captions as they are."""
    return CaptionTokensConfig(vocab_size=pairs.vocab_size, caption_length=pairs.caption_length)


def image_then_text(pairs: PairShape) -> ConcatenatedConfig:
    """Baseline I&T of Table 2."""
    return ConcatenatedConfig(parts=(image_vqvae(pairs), text_vqvae(pairs)))


def text_then_image(pairs: PairShape) -> ConcatenatedConfig:
    """Baseline T&I of Table 2."""
    return ConcatenatedConfig(parts=(text_vqvae(pairs), image_vqvae(pairs)))


def image_then_tokens(pairs: PairShape) -> ConcatenatedConfig:
    """Baseline I_T_Emb of Table 2."""
    return ConcatenatedConfig(parts=(image_vqvae(pairs), caption_tokens(pairs)))


def tokens_then_image(pairs: PairShape) -> ConcatenatedConfig:
    """Baseline T_Emb_I of Table 2."""
    return ConcatenatedConfig(parts=(caption_tokens(pairs), image_vqvae(pairs)))


def cpu_own_pairs_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """The `cpu` preset for what people bring: more codes, and about two tokens to a text code.

    Captions that people write hold more than Caption MNIST's, and what the image does not show must fit into
    the text codes. No random words: a caption is not a lie because it surprises.

    Raises:
        MxqvaeError: Captions of a length that only long runs of tokens divide.
    """
    return MXQVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        latent_size=128,
        image=cpu_image(pairs),
        text=AttentiveTextConfig(num_latents=short_runs(pairs.caption_length)),
        joint=TransformerConfig(num_layers=2, width=128, num_heads=4),
        joint_positions=True,
        quantizer=QuantizerConfig(num_codes=1024, code_size=64, average_decay=0.99, reset_below=0.5),
        identity_mixing=True,
    )


def own_pairs_without_joint_encoder(pairs: PairShape) -> MXQVAEConfig:
    """Row "without TC" of Table 1 on own pairs."""
    return replace(cpu_own_pairs_autoencoder(pairs), joint=None, joint_positions=False)


def own_pairs_without_masking(pairs: PairShape) -> MXQVAEConfig:
    """Row "without IM" of Table 1 on own pairs; there are no lies that would go with the masks."""
    return replace(cpu_own_pairs_autoencoder(pairs), masking=None)


def own_pairs_only_shared_codebook(pairs: PairShape) -> MXQVAEConfig:
    """Row "Only Sharing C" of Table 1 on own pairs."""
    return replace(own_pairs_without_joint_encoder(pairs), masking=None)


def cpu_perceptual_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """`cpu_own_pairs_autoencoder` with a perceptual loss, whose gradient starts as large as the pixels'.

    Raises:
        MxqvaeError: As there.
    """
    return replace(cpu_own_pairs_autoencoder(pairs), perceptual_weight=0.2)


def cpu_own_pairs_auditor(pairs: PairShape) -> MXQVAEConfig:
    """`cpu_own_pairs_autoencoder` that sees captions lie and learns to believe the image, for an audit."""
    return replace(cpu_own_pairs_autoencoder(pairs), masking=MaskingConfig(random_word_share=0.5))


def paper_own_pairs_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """The official code's model with the text codes of its 128-pixel form: 20, fewer for short captions."""
    return MXQVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        image=paper_image(pairs),
        text=ConvolutionalTextConfig(num_latents=_num_convolved(pairs.caption_length)),
    )


def short_runs(caption_length: int) -> int:
    """How many runs of two tokens, or the next number of tokens up to five that divides it, a caption has.

    Raises:
        MxqvaeError: None of them does.
    """
    for run in range(2, 6):
        if caption_length % run == 0:
            return caption_length // run
    raise MxqvaeError(
        f"captions of {caption_length} tokens cannot be cut into equal runs of 2 to 5; build the data set "
        "with an even --max-length"
    )


def _num_convolved(caption_length: int) -> int:
    """Text codes that the official code's four convolutions can make of a caption, at most the paper's 20."""
    most = min(20, caption_length - 4)
    return max(1, most - (most - caption_length) % 4)


def paper_image(pairs: PairShape) -> ImageConfig:
    """The image half of the `paper` presets: 8 x 8 pixels a latent.

    Raises:
        MxqvaeError: An image size that is no multiple of 8.
    """
    _check_image_size(pairs.image_size)
    return ImageConfig(image_size=pairs.image_size)


def cpu_image(pairs: PairShape) -> ImageConfig:
    """The image half of the `cpu` presets: 8 x 8 pixels a latent.

    Raises:
        MxqvaeError: An image size that is no multiple of 8.
    """
    _check_image_size(pairs.image_size)
    return ImageConfig(image_size=pairs.image_size, strides=(4, 2), widths=(48, 128), num_residual_blocks=2)


def _check_image_size(size: int) -> None:
    if size % 8:
        raise MxqvaeError(
            f"images of {size} x {size} pixels; models take multiples of 8: build the data set with "
            f"--image-size {max(8, round(size / 8) * 8)}"
        )
