"""Unconditional image-caption pairs from one joint codebook: MXQ-VAE (arXiv 2204.07537).

The names below are the package's front door. Each is imported when it is first used, so that `import mxqvae`
and `mxqvae --help` do not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.audit.auditor import PairAuditor
    from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
    from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
    from mxqvae.data.mnist import load_mnist
    from mxqvae.data.pairs import PairDataset
    from mxqvae.data.tokenizer import CaptionTokenizer
    from mxqvae.evaluation.consistency import score_consistency
    from mxqvae.evaluation.judge import Judge
    from mxqvae.generation.completion import CompletionConfig
    from mxqvae.generation.contact_sheet import contact_sheet
    from mxqvae.generation.pair_completion import complete_pair
    from mxqvae.generation.pipeline import GenerationConfig, PairGenerator
    from mxqvae.generation.sample_folder import read_sample_folder, write_sample_folder
    from mxqvae.prior.sampling import SamplingConfig
    from mxqvae.prior.transformer import Prior, PriorConfig

__version__: str

__all__ = [
    "MXQVAE",
    "CaptionMnistConfig",
    "CaptionTokenizer",
    "CompletionConfig",
    "GenerationConfig",
    "Judge",
    "MXQVAEConfig",
    "MxqvaeError",
    "PairAuditor",
    "PairDataset",
    "PairGenerator",
    "Prior",
    "PriorConfig",
    "SamplingConfig",
    "__version__",
    "build_caption_mnist",
    "complete_pair",
    "contact_sheet",
    "load_mnist",
    "read_sample_folder",
    "score_consistency",
    "write_sample_folder",
]

_HOMES = {
    "MXQVAE": "autoencoder.mxqvae",
    "MXQVAEConfig": "autoencoder.mxqvae",
    "CaptionMnistConfig": "data.caption_mnist",
    "CaptionTokenizer": "data.tokenizer",
    "CompletionConfig": "generation.completion",
    "GenerationConfig": "generation.pipeline",
    "Judge": "evaluation.judge",
    "PairAuditor": "audit.auditor",
    "PairDataset": "data.pairs",
    "PairGenerator": "generation.pipeline",
    "Prior": "prior.transformer",
    "PriorConfig": "prior.transformer",
    "SamplingConfig": "prior.sampling",
    "build_caption_mnist": "data.caption_mnist",
    "complete_pair": "generation.pair_completion",
    "contact_sheet": "generation.contact_sheet",
    "load_mnist": "data.mnist",
    "read_sample_folder": "generation.sample_folder",
    "score_consistency": "evaluation.consistency",
    "write_sample_folder": "generation.sample_folder",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mxqvae")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"mxqvae.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'mxqvae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
