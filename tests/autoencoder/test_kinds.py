from typing import Any

import pytest

from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig
from mxqvae.autoencoder.kinds import AutoencoderConfig, build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig, TextVQVAEConfig
from mxqvae.config import from_json, to_json
from mxqvae.errors import MxqvaeError

ANY_KIND: Any = AutoencoderConfig
TEXT = TextVQVAEConfig(vocab_size=9, caption_length=64)
TOKENS = CaptionTokensConfig(vocab_size=9, caption_length=64)
CONFIGS = [
    MXQVAEConfig(vocab_size=9, masking=None),
    ConcatenatedConfig(parts=(ImageVQVAEConfig(commitment_weight=0.5), TEXT)),
    ConcatenatedConfig(parts=(TOKENS, ImageVQVAEConfig())),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_file_tells_the_kind(config: AutoencoderConfig):
    assert from_json(ANY_KIND, to_json(config), "config.json") == config


def test_each_kind_is_built():
    kinds = [type(build_autoencoder(config)) for config in CONFIGS]
    assert kinds == [MXQVAE, ConcatenatedAutoencoder, ConcatenatedAutoencoder]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"vocab_size": 9}', "key 'name' is missing; add it"),
        ('{"name": "mxqvae"}', "key 'vocab_size' is missing; add it"),
        ('{"name": "concatenated", "parts": []}', "key 'parts.0' is missing; add it"),
        (
            '{"name": "concatenated", "parts": [{"name": "image-vqvae", "latent_size": 0}]}',
            "'parts.0.latent_size': Input should be greater than or equal to 1 (got 0)",
        ),
    ],
)
def test_the_first_problem_of_a_file_is_named(text: str, message: str):
    with pytest.raises(MxqvaeError) as refusal:
        from_json(ANY_KIND, text, "config.json")
    assert str(refusal.value) == f"config.json: {message}"
