"""Recipes for captioned images of any kind, as `mxqvae data folder` prepares them, at 64 or 128 pixels."""

from dataclasses import replace

from mxqvae.generation.pipeline import GenerationConfig
from mxqvae.prior.sampling import SamplingConfig
from mxqvae.recipes.presets import (
    CPU_READER,
    cpu_own_pairs_auditor,
    cpu_own_pairs_autoencoder,
    cpu_perceptual_autoencoder,
    cpu_prior,
    own_pairs_only_shared_codebook,
    own_pairs_without_joint_encoder,
    own_pairs_without_masking,
    paper_own_pairs_autoencoder,
    paper_prior,
)
from mxqvae.recipes.recipe import Recipe
from mxqvae.training.loop import TrainingConfig

_MAX_EPOCHS = 2_000
"""50 images with a caption each then take a tenth of the steps; 512 and more take all."""
_HELD_OUT = 0.05
_MAX_EPOCHS_OF_CODES = 60
"""Emoji then take a quarter of the steps; 13,000 pairs and more take all."""

_CPU = Recipe(
    description="Captioned images of any kind with the cpu preset: drawings, icons, signs",
    num_processes=2,
    caption_length=None,
    autoencoder=cpu_own_pairs_autoencoder,
    autoencoder_training=TrainingConfig(num_steps=8_000, batch_size=128, learning_rate=2e-3),
    prior=cpu_prior,
    prior_training=TrainingConfig(
        num_steps=6_000,
        batch_size=128,
        learning_rate=1.5e-3,
        second_moment_decay=0.99,
        num_warmup_steps=300,
    ),
    reader=CPU_READER,
    max_epochs=_MAX_EPOCHS,
    held_out_share=_HELD_OUT,
    max_epochs_of_codes=_MAX_EPOCHS_OF_CODES,
    generation=GenerationConfig(
        sampling=SamplingConfig(temperature=0.8, top_p=0.95), num_refinements=1, max_word_bits=2.0
    ),
    minutes=(60, 80),
)

_PHOTOS = replace(
    _CPU,
    description="Captioned photos with the cpu preset; training mirrors half of them",
    horizontal_flip=True,
    generation=GenerationConfig(sampling=SamplingConfig(top_p=0.95), num_refinements=1, max_word_bits=2.0),
    minutes=(85, 95),
)


def _ablations(name: str, recipe: Recipe) -> dict[str, Recipe]:
    """The rows of Table 1 that `recipe` is compared with, which differ from it in their switches alone."""
    return {
        f"{name}-without-tc": replace(
            recipe,
            description=f"{name} without the joint encoder, for Table 1",
            autoencoder=own_pairs_without_joint_encoder,
        ),
        f"{name}-without-im": replace(
            recipe,
            description=f"{name} without input masking, for Table 1",
            autoencoder=own_pairs_without_masking,
        ),
        f"{name}-only-sharing-c": replace(
            recipe,
            description=f"{name} without joint encoder and masking, for Table 1",
            autoencoder=own_pairs_only_shared_codebook,
        ),
    }


OWN_PAIRS_RECIPES = {
    "pairs-cpu": _CPU,
    **_ablations("pairs-cpu", _CPU),
    "photos-cpu": _PHOTOS,
    **_ablations("photos-cpu", _PHOTOS),
    "photos-cpu-perceptual": replace(
        _PHOTOS,
        description="photos-cpu with a perceptual loss, against blur; takes the extra `perceptual`",
        autoencoder=cpu_perceptual_autoencoder,
        minutes=None,
    ),
    "photos-paper": Recipe(
        description="Captioned photos with the paper's sizes, too large for two cores; training mirrors half",
        num_processes=1,
        caption_length=None,
        autoencoder=paper_own_pairs_autoencoder,
        autoencoder_training=TrainingConfig(num_steps=50_000, batch_size=128, learning_rate=5e-4),
        prior=paper_prior,
        prior_training=TrainingConfig(num_steps=50_000, batch_size=128, learning_rate=5e-4),
        max_epochs=_MAX_EPOCHS,
        held_out_share=_HELD_OUT,
        max_epochs_of_codes=_MAX_EPOCHS_OF_CODES,
        generation=GenerationConfig(sampling=SamplingConfig(top_k=10, top_p=1.0)),
        horizontal_flip=True,
    ),
    "pairs-cpu-audit": replace(
        _CPU,
        description="pairs-cpu whose stage 1 sees captions lie, to find such pairs by `mxqvae audit`",
        autoencoder=cpu_own_pairs_auditor,
    ),
    "photos-cpu-audit": replace(
        _PHOTOS,
        description="photos-cpu whose stage 1 sees captions lie, to find such pairs by `mxqvae audit`",
        autoencoder=cpu_own_pairs_auditor,
    ),
}
