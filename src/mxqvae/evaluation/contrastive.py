"""A joint embedding of images and captions, learnt from real pairs: near each other is what belongs together.

Two encoders, of the parts and the sizes of the `cpu` preset's stage 1, end in vectors of length 1. They learn
by the symmetric InfoNCE of CLIP (Radford et al. 2021, figure 3): each image of a batch has to find its own
caption among all of the batch, and each caption its image.

It learns from real pairs alone and judges samples: how many captions find their own image (`retrieval`), and
the cosine of a pair's two vectors as a score of that pair.

B batch, H and W pixels, L words, D channels of a latent, E numbers of a vector.
"""

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.image import ImageConfig, ImageEncoder, normalise
from mxqvae.autoencoder.text import AttentiveTextConfig, AttentiveTextEncoder
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.tokenizer import TOKENIZER_FILE, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.layers.transformer import Transformer, TransformerConfig
from mxqvae.pretrained import load_pretrained, read_config, save_pretrained
from mxqvae.progress import NoProgress, Progress
from mxqvae.training.loop import TrainingConfig

PAIRS_AT_A_TIME = 250
FIRST_SHARPNESS = 1 / 0.07
"""Factor of the cosines, as CLIP starts it."""
LARGEST_SHARPNESS = 100.0


@configuration
class ContrastiveConfig:
    """Encoders, vocabulary and training of the joint embedding."""

    image: ImageConfig
    """Convolutions of the image encoder."""
    vocab_size: Annotated[int, Field(ge=1)]
    """Token ids of captions."""
    caption_length: Annotated[int, Field(ge=1)]
    """Tokens of a caption, [END] and padding included."""
    text: AttentiveTextConfig = AttentiveTextConfig(num_latents=8)
    """The text encoder; its decoder's part is not used."""
    latent_size: Annotated[int, Field(ge=1)] = 128
    """Channels D of both encoders' latents."""
    image_layers: TransformerConfig = TransformerConfig(num_layers=2, width=128, num_heads=4, dropout=0.1)
    """Layers in which the patches of an image look at each other; their width is `latent_size`."""
    embedding_size: Annotated[int, Field(ge=1)] = 128
    """Numbers E of a vector."""
    training: TrainingConfig
    """How it learnt."""

    def __post_init__(self) -> None:
        if self.image_layers.width != self.latent_size:
            raise ValueError("image_layers.width must be latent_size")
        self.text.words_per_latent(self.caption_length)


class ContrastiveLosses(NamedTuple):
    """Scalars of one batch."""

    total: Tensor
    """Mean of both directions' cross-entropy, nats."""
    captions_found: Tensor
    """Share of images nearest to their own caption."""
    images_found: Tensor
    """Share of captions nearest to their own image."""


class ContrastiveModel(nn.Module):
    """Both encoders, untrained."""

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.config = config
        size = config.latent_size
        self.image_encoder = ImageEncoder(config.image, size)
        self.image_positions = nn.Parameter(0.02 * torch.randn(config.image.grid_size**2, size))
        self.image_layers = Transformer(config.image_layers)
        self.image_projection = nn.Linear(size, config.embedding_size)
        self.text_encoder = AttentiveTextEncoder(config.text, config.caption_length, config.vocab_size, size)
        self.text_projection = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, config.embedding_size))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(FIRST_SHARPNESS)))

    def embed_images(self, images: Tensor) -> Tensor:
        """Vectors (B, E) of length 1 of `images` (B, 3, H, W) in [0, 1]."""
        latents = self.image_encoder(normalise(images)) + self.image_positions
        return F.normalize(self.image_projection(self.image_layers(latents).mean(1)).float(), dim=1)

    def embed_captions(self, token_ids: Tensor) -> Tensor:
        """Vectors (B, E) of length 1 of captions (B, L)."""
        return F.normalize(self.text_projection(self.text_encoder(token_ids).mean(1)).float(), dim=1)

    def loss(self, batch: PairBatch) -> ContrastiveLosses:
        """Symmetric InfoNCE; pairs with the same caption or image are no wrong answers to each other."""
        images, captions = self.embed_images(batch.images), self.embed_captions(batch.token_ids)
        sharpness = self.log_sharpness.exp().clamp(max=LARGEST_SHARPNESS)
        logits = (sharpness * images @ captions.T).masked_fill(_twins(batch), -torch.inf)
        own = torch.arange(len(logits), device=logits.device)
        return ContrastiveLosses(
            (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2,
            (logits.argmax(1) == own).float().mean(),
            (logits.argmax(0) == own).float().mean(),
        )

    def summarise(self, sums: ContrastiveLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return {name: float(value) / num_steps for name, value in sums._asdict().items()}


def _twins(batch: PairBatch) -> Tensor:
    """Which other pairs (B, B) have the same caption or the same image."""
    captions, images = (
        half.unique(dim=0, return_inverse=True)[1] for half in (batch.token_ids, batch.images.flatten(1))
    )
    same = (captions[:, None] == captions) | (images[:, None] == images)
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)


class JointEmbedding:
    """A trained model with its tokenizer: images and captions as people have them, to vectors."""

    def __init__(self, model: ContrastiveModel, tokenizer: CaptionTokenizer) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @property
    def name(self) -> str:
        """The embedding in words, for the results."""
        return f"our contrastive model, {self.model.config.embedding_size} numbers, trained on real pairs"

    @classmethod
    def from_pretrained(cls, folder: Path) -> "JointEmbedding":
        """Load an embedding that `save_pretrained` wrote.

        Raises:
            MxqvaeError: A file that is missing, damaged or does not fit the others.
        """
        remedy = "train one with `mxqvae train contrastive`"
        config = read_config(folder, ContrastiveConfig, remedy)
        tokenizer = CaptionTokenizer.load(folder / TOKENIZER_FILE)
        if (tokenizer.vocab_size, tokenizer.max_length) != (config.vocab_size, config.caption_length):
            raise MxqvaeError(f"{folder / TOKENIZER_FILE} does not fit the weights beside it; {remedy}")
        return cls(load_pretrained(folder, ContrastiveConfig, ContrastiveModel, remedy), tokenizer)

    def save_pretrained(self, folder: Path) -> None:
        """Write tokenizer, config and weights (float16) into `folder`, each whole or not at all."""
        self.tokenizer.save(folder / TOKENIZER_FILE)
        save_pretrained(folder, self.model.config, self.model)

    @torch.inference_mode()
    def embed_images(
        self, images: Tensor, description: str = "embed images", *, progress: Progress = NoProgress()
    ) -> Tensor:
        """Vectors (N, E) of length 1 of images (N, H, W, 3) uint8.

        Raises:
            MxqvaeError: Images of another size or type than it learnt from.
        """
        size = self.model.config.image.image_size
        if images.dtype != torch.uint8 or images.shape[1:] != (size, size, 3):
            raise MxqvaeError(
                f"the joint embedding reads (N, {size}, {size}, 3) torch.uint8 images, not "
                f"{tuple(images.shape)} {images.dtype}; train one on images of this size"
            )
        parts = []
        with progress.task(description, total=len(images), unit="images") as advance:
            for batch in images.split(PAIRS_AT_A_TIME):
                parts.append(self.model.embed_images(to_floats(batch)))
                advance(len(batch))
        return torch.cat(parts)

    @torch.inference_mode()
    def embed_captions(self, captions: list[str]) -> Tensor:
        """Vectors (N, E) of length 1 of N captions; what is too long is cut."""
        token_ids = self.tokenizer.encode(captions)
        parts = [self.model.embed_captions(batch) for batch in token_ids.split(PAIRS_AT_A_TIME)]
        return torch.cat(parts)

    def score(self, images: Tensor, captions: list[str]) -> Tensor:
        """Cosine (N), in [-1, 1], of the two vectors of each pair: how well it belongs together."""
        return (self.embed_images(images) * self.embed_captions(captions)).sum(1)
