"""Stage 1 of the baselines: each half of a pair has codes of its own, set one after the other.

What ties image and caption together is left to the prior.

B batch, T codes of a pair, K codes of both vocabularies.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.code_layout import Segment, join_codes, split_codes, total_codes, total_length
from mxqvae.autoencoder.losses import AutoencoderLosses, codebook_figures, mean_losses
from mxqvae.autoencoder.unimodal import (
    CaptionTokens,
    CaptionTokensConfig,
    ImageVQVAE,
    ImageVQVAEConfig,
    TextVQVAE,
    TextVQVAEConfig,
)
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch
from mxqvae.errors import MxqvaeError

PartConfig = Annotated[ImageVQVAEConfig | TextVQVAEConfig | CaptionTokensConfig, Field(discriminator="name")]


@configuration
class ConcatenatedConfig:
    """One part for the image and one for the caption."""

    name: Literal["concatenated"] = "concatenated"
    """Tells the kinds of stage 1 apart in a config file."""
    parts: tuple[PartConfig, PartConfig]
    """In the order of their codes."""

    def __post_init__(self) -> None:
        if {segment.modality for segment in self.segments} != {"image", "text"}:
            raise ValueError("parts must be one of images and one of captions")

    @property
    def image(self) -> ImageVQVAEConfig:
        """The part of images."""
        return next(part for part in self.parts if isinstance(part, ImageVQVAEConfig))

    @property
    def text(self) -> TextVQVAEConfig | CaptionTokensConfig:
        """The part of captions."""
        return next(part for part in self.parts if not isinstance(part, ImageVQVAEConfig))

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        return self.image.image.image_size

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The layout of the code sequence."""
        return tuple(part.segment for part in self.parts)

    @property
    def sequence_length(self) -> int:
        """Codes T of a pair."""
        return total_length(self.segments)

    @property
    def num_codes(self) -> int:
        """Codes K of both vocabularies."""
        return total_codes(self.segments)

    @property
    def vocab_size(self) -> int:
        """Token ids, the special ones among them."""
        return self.text.vocab_size

    @property
    def caption_length(self) -> int:
        """Words of a padded caption."""
        return self.text.caption_length

    @property
    def perceptual_weight(self) -> float:
        """None: images are held to their pixels alone."""
        return 0.0


class ConcatenatedAutoencoder(nn.Module):
    """Two parts that share nothing.

    They are made and trained image first, whatever the order of their codes: the same seed gives the same
    weights in either order.
    """

    def __init__(self, config: ConcatenatedConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageVQVAE(config.image)
        text = config.text
        self.text = TextVQVAE(text) if isinstance(text, TextVQVAEConfig) else CaptionTokens(text)

    def loss(self, batch: PairBatch) -> AutoencoderLosses:
        """The sums of the parts' losses; `usage` counts the codes of both vocabularies, in their order."""
        # One run trains both parts. They meet in one place only, the training loop's limit on the norm of all
        # gradients together: where it scales one part's step down, it does the other's too.
        image, text = self.image.loss(batch), self.text.loss(batch)
        usage = {"image": image.usage, "text": text.usage}
        return AutoencoderLosses(
            *(a + b for a, b in zip(image[:-1], text[:-1], strict=True)),
            usage=torch.cat([usage[segment.modality] for segment in self.config.segments]),
        )

    def summarise(self, sums: AutoencoderLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps; tokens count as a codebook."""
        figures = mean_losses(sums, num_steps)
        segments = self.config.segments
        usages = sums.usage.split([segment.num_codes for segment in segments])
        for segment, usage in zip(segments, usages, strict=True):
            figures |= {f"{segment.modality}_{name}": v for name, v in codebook_figures(usage).items()}
        return figures

    @torch.no_grad()
    def encode(self, batch: PairBatch) -> Tensor:
        """Indices (B, T) of whole pairs; call in eval mode."""
        parts = {"image": self.image.encode(batch), "text": self.text.encode(batch)}
        segments = self.config.segments
        return join_codes(segments, [parts[segment.modality] for segment in segments])

    @torch.no_grad()
    def decode(self, indices: Tensor) -> PairBatch:
        """Pairs of `indices` (B, T), each of its segment's codes: images in [0, 1], words to [END]."""
        segments = self.config.segments
        codes = split_codes(segments, indices)
        parts = {segment.modality: part for segment, part in zip(segments, codes, strict=True)}
        return PairBatch(self.image.decode(parts["image"]), self.text.decode(parts["text"]))


def arrange(trained: ConcatenatedAutoencoder, config: ConcatenatedConfig) -> ConcatenatedAutoencoder:
    """An autoencoder of another layout from trained parts: in another order, or with captions as they are.

    Raises:
        MxqvaeError: A part that `config` asks for was not trained.
    """
    arranged = ConcatenatedAutoencoder(config)
    for part, source in ((arranged.image, trained.image), (arranged.text, trained.text)):
        if isinstance(part, CaptionTokens):
            continue
        if part.config != source.config:
            modality = part.config.segment.modality
            raise MxqvaeError(
                f"the {modality} part asked for has other settings than the trained one; train it anew"
            )
        part.load_state_dict(source.state_dict())
    return arranged.eval()
