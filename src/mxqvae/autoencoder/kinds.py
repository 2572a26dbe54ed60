"""The kinds of stage 1: the joint one, and the concatenated one of the baselines.

Both have `loss`, `summarise`, `encode` and `decode`, and a config with `num_codes`, `sequence_length`,
`segments`, `vocab_size`, `caption_length`, `image_size` and `perceptual_weight`: later steps ask for no more.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig
from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig

Autoencoder: TypeAlias = MXQVAE | ConcatenatedAutoencoder
AutoencoderConfig: TypeAlias = Annotated[MXQVAEConfig | ConcatenatedConfig, Field(discriminator="name")]


def build_autoencoder(config: AutoencoderConfig) -> Autoencoder:
    """The untrained autoencoder of the config's kind."""
    return MXQVAE(config) if isinstance(config, MXQVAEConfig) else ConcatenatedAutoencoder(config)
