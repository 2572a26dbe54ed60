"""Recipes for Caption MNIST: ours, the rows of Tables 1 and 2, the paper's sizes."""

from dataclasses import replace

from mxqvae.data.warping import WarpingConfig
from mxqvae.generation.pipeline import GenerationConfig
from mxqvae.prior.sampling import SamplingConfig
from mxqvae.recipes.presets import (
    CPU_READER,
    cpu_autoencoder,
    cpu_prior,
    cpu_prior_with_all_captions,
    image_then_text,
    image_then_tokens,
    masks_only,
    only_shared_codebook,
    paper_autoencoder,
    paper_prior,
    text_then_image,
    tokens_then_image,
    without_joint_encoder,
    without_joint_encoder_masks_only,
    without_masking,
)
from mxqvae.recipes.recipe import Recipe
from mxqvae.training.loop import TrainingConfig

_CPU = Recipe(
    description="Caption MNIST at 64 pixels with the cpu preset: both stages on two cores",
    for_caption_mnist=True,
    num_processes=2,
    caption_length=40,
    autoencoder=cpu_autoencoder,
    autoencoder_training=TrainingConfig(num_steps=9_000, batch_size=128, learning_rate=2e-3),
    prior=cpu_prior,
    prior_training=TrainingConfig(
        num_steps=6_000,
        batch_size=128,
        learning_rate=1.5e-3,
        second_moment_decay=0.99,
        num_warmup_steps=300,
    ),
    reader=CPU_READER,
    generation=GenerationConfig(num_refinements=2, max_word_bits=0.05, max_caption_code_bits=10.0),
    minutes=(102, 105),
)
# Stage 1 cannot mend what was quantized apart. It has no joint encoder to train.
_BASELINE = replace(_CPU, reader=None, generation=GenerationConfig(), minutes=(70, 105))
_REARRANGED = replace(_BASELINE, autoencoder_from="caption-mnist-cpu-i-t")
# Pairs of 104 codes, where the others have 72.
_WITH_TOKENS = replace(_REARRANGED, minutes=(70, 150))

CAPTION_MNIST_RECIPES = {
    "caption-mnist-cpu": _CPU,
    "caption-mnist-cpu-without-tc": replace(
        _CPU,
        description="caption-mnist-cpu without the joint encoder, for Table 1",
        autoencoder=without_joint_encoder,
        minutes=(66, 105),
    ),
    "caption-mnist-cpu-without-im": replace(
        _CPU,
        description="caption-mnist-cpu without input masking, for Table 1",
        autoencoder=without_masking,
        minutes=(78, 105),
    ),
    "caption-mnist-cpu-only-sharing-c": replace(
        _CPU,
        description="caption-mnist-cpu without joint encoder and masking, for Table 1",
        autoencoder=only_shared_codebook,
        minutes=(70, 105),
    ),
    "caption-mnist-cpu-masks-only": replace(
        _CPU,
        description="caption-mnist-cpu without lies among the hidden words, beside Table 1",
        autoencoder=masks_only,
    ),
    "caption-mnist-cpu-without-tc-masks-only": replace(
        _CPU,
        description="caption-mnist-cpu without joint encoder and lies, beside Table 1",
        autoencoder=without_joint_encoder_masks_only,
    ),
    "caption-mnist-cpu-short": replace(
        _CPU,
        description="caption-mnist-cpu with two ninths of stage 1's steps, to compare training data by",
        autoencoder_training=replace(_CPU.autoencoder_training, num_steps=2_000),
        minutes=(23, 105),
    ),
    "caption-mnist-cpu-warped": replace(
        _CPU,
        description="caption-mnist-cpu that learns from digits that nobody wrote: images are warped",
        prior=cpu_prior_with_all_captions,
        # Fewer, so that both stages take less than three hours.
        prior_training=replace(_CPU.prior_training, num_steps=5_500),
        warping=WarpingConfig(),
        minutes=(93, 86),
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
        _WITH_TOKENS,
        description="Baseline of Table 2: image codes, then the caption's tokens",
        autoencoder=image_then_tokens,
    ),
    "caption-mnist-cpu-t-emb-i": replace(
        _WITH_TOKENS,
        description="Baseline of Table 2: the caption's tokens, then image codes",
        autoencoder=tokens_then_image,
    ),
    "caption-mnist-paper": Recipe(
        description="Caption MNIST at 64 pixels with the paper's sizes, too large for two cores",
        for_caption_mnist=True,
        num_processes=1,
        caption_length=64,
        autoencoder=paper_autoencoder,
        autoencoder_training=TrainingConfig(num_steps=30_000, batch_size=256, learning_rate=5e-4),
        prior=paper_prior,
        prior_training=TrainingConfig(num_steps=20_000, batch_size=256, learning_rate=5e-4),
        generation=GenerationConfig(sampling=SamplingConfig(top_k=10, top_p=1.0)),
    ),
}
