"""MMVAE: one continuous latent that either half of a pair can be encoded to and both are decoded from.

Shi et al. 2019, Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models. Each half
has an encoder whose posterior is a Laplace; the posterior of a pair is their equal mixture, and each
component of it must decode to both halves, its own and the other:

    ELBO = 1/2 sum_m E_{z ~ q_m} [ w log p(image | z) + log p(caption | z) + log p(z) - log q(z | pair) ]
    q(z | pair) = 1/2 q_image(z) + 1/2 q_text(z)

one sample a component. Our reconstruction: the authors take 30 to 50 samples and an importance-weighted bound
(their DReG), convolutions over words and other sizes. The image's likelihood is scaled to the caption's
length by w, as theirs is for CUB, since some 10,000 pixels would drown a dozen words.

B batch, H and W pixels, L words, V vocabulary, T latents inside a half, D their channels, Z numbers of the
joint latent.
"""

import math
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Laplace

from mxqvae.autoencoder.image import (
    ImageConfig,
    ImageDecoder,
    ImageEncoder,
    denormalise,
    hide_unknown,
    normalise,
)
from mxqvae.autoencoder.text import (
    AttentiveTextConfig,
    AttentiveTextDecoder,
    AttentiveTextEncoder,
    caption_loss,
    pad_past_end,
    share_right,
)
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch
from mxqvae.data.tokenizer import CaptionTokenizer

SMALLEST_SCALE = 1e-3
"""Of a posterior; a narrower one would make log q overflow."""


@configuration
class MMVAEConfig:
    """Sizes of the multimodal VAE."""

    vocab_size: Annotated[int, Field(ge=5)]
    """Token ids V, the special ones among them."""
    caption_length: Annotated[int, Field(ge=1)]
    """Words L of a padded caption."""
    image: ImageConfig
    """Image encoder and decoder."""
    text: AttentiveTextConfig
    """Text encoder and decoder."""
    latent_size: Annotated[int, Field(ge=1)] = 128
    """Channels D of the latents inside each half."""
    joint_size: Annotated[int, Field(ge=1)] = 64
    """Numbers Z of the joint latent."""
    image_scale: Annotated[float, Field(gt=0)] = 0.1
    """Scale of the Laplace likelihood of a pixel, in normalised space."""

    def __post_init__(self) -> None:
        self.text.words_per_latent(self.caption_length)


class MMVAELosses(NamedTuple):
    """Scalars of one batch, means over pairs and over both posteriors."""

    total: Tensor
    """Minus the ELBO, nats a word of the caption."""
    image: Tensor
    """Mean absolute error of pixels in normalised space."""
    caption: Tensor
    """Cross-entropy, nats a word."""
    divergence: Tensor
    """Estimate of KL(mixture, prior), nats a pair."""
    words_right: Tensor
    """Share of words whose most likely reconstruction is right."""


class MMVAE(nn.Module):
    """Two encoders, a joint latent, two decoders."""

    def __init__(self, config: MMVAEConfig) -> None:
        super().__init__()
        self.config = config
        size, joint, text = config.latent_size, config.joint_size, config.text
        num_cells = config.image.grid_size**2
        self.image_encoder = ImageEncoder(config.image, size)
        self.text_encoder = AttentiveTextEncoder(text, config.caption_length, config.vocab_size, size)
        self.image_posterior = nn.Linear(num_cells * size, 2 * joint)
        self.text_posterior = nn.Linear(text.num_latents * size, 2 * joint)
        self.log_prior_scales = nn.Parameter(torch.zeros(joint))
        self.image_expansion = nn.Linear(joint, num_cells * size)
        self.text_expansion = nn.Linear(joint, text.num_latents * size)
        self.image_decoder = ImageDecoder(config.image, size)
        self.text_decoder = AttentiveTextDecoder(
            text, config.caption_length, config.vocab_size, size, text.num_latents
        )

    @property
    def prior(self) -> Laplace:
        """p(z): centred, its scales learnt up to their sum."""
        scales = F.softmax(self.log_prior_scales.float(), dim=0) * self.config.joint_size
        return Laplace(torch.zeros_like(scales), scales)

    def posteriors(self, batch: PairBatch) -> tuple[Laplace, Laplace]:
        """q_image and q_text of the halves of each pair, each of (B, Z)."""
        image = self.image_encoder(hide_unknown(normalise(batch.images))).flatten(1)
        text = self.text_encoder(batch.token_ids).flatten(1)
        return _laplace(self.image_posterior(image)), _laplace(self.text_posterior(text))

    def decode_images(self, z: Tensor) -> Tensor:
        """`z` (B, Z) -> normalised images (B, 3, H, W)."""
        return self.image_decoder(self.image_expansion(z).unflatten(1, (-1, self.config.latent_size)))

    def decode_captions(self, z: Tensor) -> Tensor:
        """`z` (B, Z) -> logits (B, L, V)."""
        return self.text_decoder(self.text_expansion(z).unflatten(1, (-1, self.config.latent_size)))

    def loss(self, batch: PairBatch) -> MMVAELosses:
        """Minus the ELBO of whole pairs, over the words of a caption."""
        posteriors = self.posteriors(batch)
        num_words = (batch.token_ids != CaptionTokenizer.pad_id).sum(1).float().mean()
        # -log p of a pixel is |error| / scale, but for a constant; w makes an image as long as a caption.
        terms = []
        for posterior in posteriors:
            z = posterior.rsample()
            image = (self.decode_images(z).float() - normalise(batch.images)).abs().mean()
            logits = self.decode_captions(z)
            mixture = torch.stack([q.log_prob(z).sum(1) for q in posteriors]).logsumexp(0) - math.log(2)
            divergence = (mixture - self.prior.log_prob(z).sum(1)).mean()
            caption, right = caption_loss(logits, batch.token_ids), share_right(logits, batch.token_ids)
            terms.append(torch.stack([image, caption, divergence, right]))
        image, caption, divergence, right = torch.stack(terms).mean(0)
        total = image / self.config.image_scale + caption + divergence / num_words
        return MMVAELosses(total, image, caption, divergence, right)

    def summarise(self, sums: MMVAELosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return {name: float(value) / num_steps for name, value in sums._asdict().items()}

    @torch.no_grad()
    def encode(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """The joint latents (B, Z) of the image and of the caption of each pair; in eval mode."""
        image, text = self.posteriors(batch)
        return image.mean, text.mean

    @torch.no_grad()
    def decode(self, image_latents: Tensor, text_latents: Tensor) -> PairBatch:
        """Pairs of latents (B, Z): the image of the ones, the likeliest caption of the others."""
        token_ids = pad_past_end(self.decode_captions(text_latents).argmax(-1))
        return PairBatch(denormalise(self.decode_images(image_latents)), token_ids)


def _laplace(parameters: Tensor) -> Laplace:
    """(B, 2 Z) -> Laplace of (B, Z)."""
    mean, raw_scale = parameters.float().chunk(2, dim=1)
    return Laplace(mean, F.softplus(raw_scale) + SMALLEST_SCALE, validate_args=False)
