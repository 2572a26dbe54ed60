"""The conditioner: lets a trained prior read the given part of a pair. An optional third stage.

    given pixels, given words -> encoder -> memory
    prior's input:  x <- x + hint(memory of the same patch)
    prior's layer:  x <- layer(x + reader(x, memory))

Each reader is a cross-attention (Vaswani et al. 2017, section 3.2.3). Its output layer and the hint start at
zero: before training, a prior that reads draws what it draws anyway. The prior itself stays as it is. So the
weights of both stages serve sampling unchanged, and the difference between the two distributions is there to
be amplified (classifier-free guidance, Ho and Salimans 2022, equation 6, over codes).

B batch, P sequences, T codes of a pair, I of them for the image, L words, K codes of the codebook.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
from mxqvae.config import configuration
from mxqvae.data.batch import PairBatch
from mxqvae.data.hiding import hide_parts
from mxqvae.layers.transformer import Attention, KeyValue, Transformer, TransformerConfig, TransformerLayer
from mxqvae.prior.sampling import PriorSequences, SamplingConfig, draw, filter_logits
from mxqvae.prior.transformer import Prior, PriorConfig


@configuration
class ConditionerConfig:
    """Sizes of a conditioner; but for the encoder's, both stages decide them."""

    vocab_size: Annotated[int, Field(ge=5)]
    """Token ids V, the special ones among them."""
    caption_length: Annotated[int, Field(ge=1)]
    """Words L of a padded caption."""
    num_image_codes: Annotated[int, Field(ge=1)]
    """Codes I that stand for the image."""
    latent_size: Annotated[int, Field(ge=1)]
    """Channels of the latents that stage 1's image encoder gives."""
    encoder: TransformerConfig
    """Layers in which the given pixels and words meet."""
    prior: TransformerConfig
    """The layers of the prior that reads."""


class ConditionerLosses(NamedTuple):
    """Scalars of one batch, summed over steps and read by `ConditionalPrior.summarise`."""

    total: Tensor
    """Cross-entropy, nats a code, with teacher forcing."""


class Conditioner(nn.Module):
    """Encoder of what is given of a pair, and for each layer of a prior the reader of it."""

    def __init__(self, config: ConditionerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.width
        self.words = nn.Embedding(config.vocab_size, width)
        self.latent_norm = nn.LayerNorm(config.latent_size)
        self.patches = nn.Linear(config.latent_size + 1, width)
        # Of the size of what stands there: where a patch is counts as much as what it shows.
        self.positions = nn.Parameter(torch.randn(config.num_image_codes + config.caption_length, width))
        self.encoder = Transformer(config.encoder)
        self.reader_norms = nn.ModuleList(
            nn.LayerNorm(config.prior.width) for _ in range(config.prior.num_layers)
        )
        self.readers = nn.ModuleList(
            Attention(config.prior, memory_width=width) for _ in range(config.prior.num_layers)
        )
        self.hint = nn.Linear(width, config.prior.width)
        self.trust = nn.Linear(width, 1)
        outputs = [reader.output for reader in self.readers if isinstance(reader, Attention)]
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, 2.0)  # measured untrained: the best for an image given alone
        for layer in (self.hint, *outputs):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, shares: Tensor, token_ids: Tensor) -> Tensor:
        """The memory (B, I + L, W) of what is given.

        Args:
            latents: (B, I, D), stage 1's of the image with nothing in place of what is not known.
            shares: (B, I), the share of each patch's pixels that is known.
            token_ids: (B, L), [MASK] where a word is not known.
        """
        patches = self.patches(torch.cat([self.latent_norm(latents), shares[..., None]], dim=-1))
        return self.encoder(torch.cat([patches, self.words(token_ids)], dim=1) + self.positions)

    def read(self, layer: int, x: Tensor, memory: KeyValue) -> Tensor:
        """What `layer` of the prior adds to its input `x` (B, T, W) after reading; (B, T, W)."""
        reader = self.readers[layer]
        assert isinstance(reader, Attention)
        return reader.read(self.reader_norms[layer](x), memory)

    def hints(self, memory: Tensor) -> Tensor:
        """What each image code's place is told of its own patch: (B, I, W), added to the prior's input."""
        return self.hint(memory[:, : self.config.num_image_codes])

    def trusts(self, memory: Tensor) -> Tensor:
        """How far the code nearest to what stage 1 reads in each patch is believed: (B, I), at least 0."""
        return F.softplus(self.trust(memory[:, : self.config.num_image_codes])[..., 0])

    def keys_and_values(self, memory: Tensor) -> list[KeyValue]:
        """Each reader's of `memory` (B, I + L, W)."""
        return [reader.keys_and_values(memory) for reader in self.readers if isinstance(reader, Attention)]


class Known(NamedTuple):
    """What a conditioner makes of the given parts of P pairs."""

    memory: Tensor
    """(P, I + L, W), for the readers."""
    evidence: Tensor
    """(P, T, K), added to the prior's logits: what stage 1 reads in the given patches."""

    def repeated(self, num: int) -> "Known":
        """Of one pair, `num` times."""
        return Known(self.memory.expand(num, -1, -1), self.evidence.expand(num, -1, -1))


class ConditionalPrior(nn.Module):
    """Distribution over the code sequences of pairs of which a part is given.

    Of its three models the conditioner alone is a submodule: the others are frozen, and neither trained nor
    saved with it.
    """

    def __init__(self, autoencoder: MXQVAE, prior: Prior, conditioner: Conditioner) -> None:
        """Both stages in eval mode, as they stay."""
        super().__init__()
        self.conditioner = conditioner
        self._frozen = (autoencoder.requires_grad_(False), prior.requires_grad_(False))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ConditionalPrior":
        """Move the frozen ones along with the conditioner, to another device say."""
        for module in self._frozen:
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @property
    def autoencoder(self) -> MXQVAE:
        """Stage 1."""
        return self._frozen[0]

    @property
    def prior(self) -> Prior:
        """Stage 2."""
        return self._frozen[1]

    def forward(self, batch: tuple[PairBatch, Tensor]) -> ConditionerLosses:
        """The losses of a batch: see `loss`."""
        return self.loss(batch)

    def loss(self, batch: tuple[PairBatch, Tensor]) -> ConditionerLosses:
        """Cross-entropy of the codes (B, T) of whole pairs, with parts of the pairs hidden."""
        pairs, indices = batch
        known = self.read_known(hide_parts(pairs, self.autoencoder.config.image.cell_size))
        logits = self.logits(indices, known)
        return ConditionerLosses(F.cross_entropy(logits.float().flatten(0, 1), indices.flatten()))

    def summarise(self, sums: ConditionerLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return {"total": float(sums.total) / num_steps}

    def read_known(self, pairs: PairBatch) -> Known:
        """What there is to know of `pairs`, NaN where a pixel is not known and [MASK] where a word is."""
        shares = known_shares(pairs.images, self.autoencoder.config.image.cell_size)
        memory = self.conditioner(self.autoencoder.read_images(pairs.images), shares, pairs.token_ids)
        distances = self.autoencoder.code_distances(pairs)[:, : shares.shape[1]]
        surprise = distances / distances.amin(-1).mean(1, keepdim=True)[..., None]
        trusts = self.conditioner.trusts(memory) * shares
        return Known(memory, F.pad(-trusts[..., None] * surprise, (0, 0, 0, self._num_text_codes)))

    def logits(self, indices: Tensor, known: Known) -> Tensor:
        """Logits (B, T, K) of each code given those before it and what is `known`, by teacher forcing."""
        memory = known.memory
        prior = self.prior
        start = indices.new_full((len(indices), 1), prior.start_index)
        x = prior.embedding(torch.cat([start, indices[:, :-1]], dim=1)) + prior.positions
        x = x + self.hints(memory)
        memories = self.conditioner.keys_and_values(memory)
        for number, (layer, read) in enumerate(zip(prior.transformer.layers, memories, strict=True)):
            x = layer(x + self.conditioner.read(number, x, read))
        return prior.score(prior.transformer.norm(x), slice(None)) + known.evidence

    def hints(self, memory: Tensor) -> Tensor:
        """The conditioner's, with nothing for the codes of the caption: (B, T, W)."""
        return F.pad(self.conditioner.hints(memory), (0, 0, 0, self._num_text_codes))

    @property
    def _num_text_codes(self) -> int:
        return self.prior.config.sequence_length - self.conditioner.config.num_image_codes


class ConditionalSequences:
    """P sequences of codes that grow one code at a time, each with something given."""

    def __init__(self, model: ConditionalPrior, known: Known) -> None:
        """Begin a sequence for each row of `known`."""
        memory, self._evidence = known
        self.model, self.prior, self.position = model, model.prior, 0
        self._memories, self._hints = model.conditioner.keys_and_values(memory), model.hints(memory)
        self._past = self.prior.transformer.empty_cache(len(memory), self.prior.config.sequence_length)
        self._last = torch.full((len(memory),), self.prior.start_index, device=memory.device)

    def step(self) -> Tensor:
        """Logits (P, K) of the next code of each; call `append` before the next step."""
        prior, conditioner = self.prior, self.model.conditioner
        x = prior.embedding(self._last) + prior.positions[self.position] + self._hints[:, self.position]
        x = x[:, None]
        layers = zip(prior.transformer.layers, self._memories, self._past, strict=True)
        for number, (layer, known, past) in enumerate(layers):
            assert isinstance(layer, TransformerLayer)
            x = layer.step(x + conditioner.read(number, x, known), past, self.position)
        logits = prior.score(prior.transformer.norm(x)[:, 0], self.position)
        return logits + self._evidence[:, self.position]

    def append(self, codes: Tensor) -> None:
        """Let the sequences go on with `codes` (P)."""
        self._last = codes
        self.position += 1


@torch.no_grad()
def sample_given(
    model: ConditionalPrior, known: Known, sampling: SamplingConfig, noise: Tensor, *, guidance: float = 1.0
) -> Tensor:
    """Draw indices (P, T), each given its row of `known`.

    Args:
        noise: (P, T) float64, uniform in [0, 1).
        guidance: s of classifier-free guidance: logits are unconditional + s · (conditional - unconditional),
            at least 0.
    """
    num, length = noise.shape
    given = ConditionalSequences(model, known)
    free = PriorSequences(model.prior, num) if guidance != 1 else None
    indices = torch.empty(num, length, dtype=torch.int64, device=noise.device)
    for position in range(length):
        logits = given.step()
        if free is not None:
            unconditional = free.step().log_softmax(-1)
            logits = unconditional + guidance * (logits.log_softmax(-1) - unconditional)
        indices[:, position] = draw(filter_logits(logits, sampling), noise[:, position])
        given.append(indices[:, position])
        if free is not None:
            free.append(indices[:, position])
    return indices


def conditioner_of(
    autoencoder: MXQVAEConfig, prior: PriorConfig, encoder: TransformerConfig
) -> ConditionerConfig:
    """The conditioner of two stages, by the sizes of its encoder."""
    return ConditionerConfig(
        vocab_size=autoencoder.vocab_size,
        caption_length=autoencoder.caption_length,
        num_image_codes=autoencoder.num_image_codes,
        latent_size=autoencoder.latent_size,
        encoder=encoder,
        prior=prior.transformer,
    )


def known_shares(images: Tensor, patch_size: int) -> Tensor:
    """Share (B, I) of each patch's pixels that `images` (B, 3, H, W) know, patches in row-major order."""
    known = (~images[:, 0].isnan()).float()
    return known.unflatten(2, (-1, patch_size)).unflatten(1, (-1, patch_size)).mean((2, 4)).flatten(1)
