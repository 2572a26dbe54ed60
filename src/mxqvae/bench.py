"""The project's claims about speed, as contests that are held again on this machine's CPU.

In a contest two ways to do the same work take turns, and the claim is the ratio of their rates: whatever else
the machine does slows both. Weights and batches are random, no data set is needed. All is computed in the
precision that training takes here: bfloat16, or float32 on a CPU that would have to emulate it.

B batch, C channels, H heads, T positions, D channels of a head or code, K codes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
from mxqvae.autoencoder.quantizer import VectorQuantizer
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.data.batch import PairBatch, PairShape
from mxqvae.data.caption_mnist import IMAGE_SIZE, example_captions
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.device import multiplies_bf16
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.layers.convolution import DownsamplingConvolution, UpsamplingConvolution
from mxqvae.layers.dropout import drop
from mxqvae.layers.transformer import LONGEST_PLAIN_ATTENTION, TransformerConfig, plain_attention
from mxqvae.prior.sampling import SamplingConfig, draw, filter_logits
from mxqvae.prior.transformer import Prior, PriorConfig
from mxqvae.recipes import Recipe, find_recipe
from mxqvae.training.loop import TrainingConfig, training_step

GEMM_SIZE = 2048
"""Rows and columns of the matrices whose product is the ceiling: large enough that only arithmetic counts."""
LENGTHS = (72, 276)
"""Codes of a pair at 64 and at 128 pixels."""


class Contender(NamedTuple):
    """One way to do the work."""

    call: Callable[[], object]
    work: float
    """What a call does, in the contest's unit."""


class Contest(NamedTuple):
    """Two ways to do the same work."""

    name: str
    """The work, then whose rate over whose."""
    unit: str
    """Unit of the work: GFLOP (of the arithmetic asked for, whatever a way adds to it) or pairs."""
    ours: Contender
    reference: Contender


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a contest ended."""

    name: str
    """See `Contest`."""
    unit: str
    """Unit of the two rates."""
    ours: float
    """Our median rate."""
    reference: float
    """The reference's median rate."""
    ratio: float
    """Median of our rate over the reference's, turn by turn: above 1 we are faster."""
    ratio_low: float
    """Lower quartile of the same."""
    ratio_high: float
    """Upper quartile of the same."""


def measure(contest: Contest, num_repeats: int) -> Comparison:
    """Let both sides take `num_repeats` turns each, after one that does not count."""
    sides = (contest.ours, contest.reference)
    for side in sides:
        side.call()  # kernels are chosen and memory is fetched at the first call
    rates = np.array([[side.work / _seconds(side.call) for side in sides] for _ in range(num_repeats)])
    ours, reference = np.median(rates, axis=0)
    low, ratio, high = np.quantile(rates[:, 0] / rates[:, 1], (0.25, 0.5, 0.75))
    return Comparison(
        name=contest.name,
        unit=f"{contest.unit}/s",
        ours=float(ours),
        reference=float(reference),
        ratio=float(ratio),
        ratio_low=float(low),
        ratio_high=float(high),
    )


def contests(batch_size: int) -> list[Contest]:
    """Every contest, with batches of `batch_size` pairs and the shapes of the presets."""
    cpu, paper = (_Preset.of(find_recipe(f"caption-mnist-{name}")) for name in ("cpu", "paper"))
    return [
        *_precisions(),
        *_convolutions(cpu.autoencoder.image, batch_size),
        *_attentions([cpu, paper], batch_size),
        *_quantizers([cpu, paper], batch_size),
        *_prior_parts(cpu.prior, batch_size),
        *_models(cpu, batch_size),
    ]


class _Preset(NamedTuple):
    """The two models of a recipe, for captions of Caption MNIST."""

    tokenizer: CaptionTokenizer
    captions: list[str]
    autoencoder: MXQVAEConfig
    prior: PriorConfig

    @classmethod
    def of(cls, recipe: Recipe) -> "_Preset":
        captions = example_captions(1000)
        tokenizer = CaptionTokenizer.train(captions, recipe.caption_length)
        autoencoder = recipe.autoencoder(PairShape(tokenizer.vocab_size, tokenizer.max_length, IMAGE_SIZE))
        assert isinstance(autoencoder, MXQVAEConfig)
        return cls(tokenizer, captions, autoencoder, recipe.prior(autoencoder))

    def attentions(self) -> Iterator[tuple[TransformerConfig, bool]]:
        """Layers with attention over all codes of a pair, and whether they are causal."""
        if isinstance(self.autoencoder.text, AttentiveTextConfig):
            yield self.autoencoder.text.decoder, False
        if self.autoencoder.joint is not None:
            yield self.autoencoder.joint, False
        yield self.prior.transformer, True


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _multiplies_bf16() -> bool:
    return multiplies_bf16(torch.device("cpu"))


def _precision() -> torch.dtype:
    """What training computes in on this CPU."""
    return torch.bfloat16 if _multiplies_bf16() else torch.float32


def _precisions() -> Iterator[Contest]:
    if _multiplies_bf16():
        bf16, fp32 = _gemm(torch.bfloat16), _gemm(torch.float32)
        yield Contest(f"GEMM of {GEMM_SIZE}: bf16 over fp32", "GFLOP", bf16, fp32)


def _gemm(dtype: torch.dtype) -> Contender:
    """The ceiling: one product of large square matrices."""
    left, right = torch.randn(2, GEMM_SIZE, GEMM_SIZE).to(dtype)
    return Contender(partial(torch.mm, left, right), 2 * GEMM_SIZE**3 / 1e9)


def _forward_backward(
    function: Callable[..., Tensor], inputs: Iterable[Tensor], parameters: Iterable[Tensor], work: float
) -> Contender:
    """The function, and the gradients of its parameters and of those inputs that want one."""
    inputs = list(inputs)
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]

    def call() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_multiplies_bf16()):
            output = function(*inputs)
        return torch.autograd.grad(output, wanted, torch.ones_like(output))

    return Contender(call, work)


def _convolutions(image: ImageConfig, batch_size: int) -> Iterator[Contest]:
    """Each shape, both ways, against torch's layer of the same function; then the cliff of the widths."""

    def contender(layer: nn.Module, channels: int, size: int, gflop: float) -> Contender:
        # Images, of 3 channels, need no gradient.
        x = torch.randn(batch_size, channels, size, size, dtype=_precision(), requires_grad=channels > 3)
        return _forward_backward(layer, [x], layer.parameters(), gflop * (3 if channels > 3 else 2))

    # Channels in and out, stride, cells a side before: where the cliff was found, then the preset's.
    shapes, channels, cells = [(32, 64, 2, 32)], 3, image.image_size
    for stride, width in zip(image.strides, image.widths, strict=True):
        shapes.append((channels, width, stride, cells))
        channels, cells = width, cells // stride
    for fine, coarse, stride, size in shapes:
        small, kernel = size // stride, (2 * stride, stride, stride // 2)  # kernel size, stride, padding
        gflop = 2 * batch_size * fine * coarse * (2 * size) ** 2 / 1e9
        yield Contest(
            f"Convolution {fine}→{coarse} at {size}x{size}: unshuffled over strided",
            "GFLOP",
            contender(DownsamplingConvolution(fine, coarse, stride), fine, size, gflop),
            contender(nn.Conv2d(fine, coarse, *kernel), fine, size, gflop),
        )
        yield Contest(
            f"Transposed convolution {coarse}→{fine} to {size}x{size}: shuffled over strided",
            "GFLOP",
            contender(UpsamplingConvolution(coarse, fine, stride), coarse, small, gflop),
            contender(nn.ConvTranspose2d(coarse, fine, *kernel), coarse, small, gflop),
        )
    narrow, wide = (
        contender(
            DownsamplingConvolution(width, 128, 2), width, 16, 2 * batch_size * width * 128 * 32**2 / 1e9
        )
        for width in (48, 64)
    )
    yield Contest("Unshuffled convolution to 128 at 16x16: 48 over 64 channels", "GFLOP", narrow, wide)


def _attentions(presets: Sequence[_Preset], batch_size: int) -> Iterator[Contest]:
    """What the layer picks at each length over what it does not: above 1 everywhere, it picks right."""
    shapes = dict.fromkeys(
        (config.num_heads, config.width // config.num_heads, causal)
        for preset in presets
        for config, causal in preset.attentions()
    )
    for num_heads, size, causal in shapes:
        for length in LENGTHS:
            shape = (3, batch_size, num_heads, length, size)
            inputs = [x.requires_grad_() for x in torch.randn(shape, dtype=_precision()).unbind()]
            gflop = 12 * batch_size * num_heads * length**2 * size / 1e9
            plain, fused = (
                _forward_backward(attention, inputs, [], gflop)
                for attention in (
                    partial(plain_attention, causal=causal, dropout=0.0),
                    partial(F.scaled_dot_product_attention, is_causal=causal),
                )
            )
            work = f"{'Causal attention' if causal else 'Attention'} of {length}, {num_heads} heads of {size}"
            if length <= LONGEST_PLAIN_ATTENTION:
                yield Contest(f"{work}: plain over fused", "GFLOP", plain, fused)
            else:
                yield Contest(f"{work}: fused over plain", "GFLOP", fused, plain)


def _quantizers(presets: Sequence[_Preset], batch_size: int) -> Iterator[Contest]:
    """`VectorQuantizer.nearest` against the product it cannot do without, and against distances."""
    for preset in presets:
        quantizer = VectorQuantizer(preset.autoencoder.quantizer)
        num_codes, size = quantizer.codebook.shape
        codebook, latents = (
            quantizer.codebook.detach(),
            torch.randn(batch_size * preset.autoencoder.sequence_length, size),
        )
        gflop = 2 * len(latents) * num_codes * size / 1e9
        ours = Contender(partial(quantizer.nearest, latents), gflop)
        gemm = Contender(partial(torch.mm, latents, codebook.t()), gflop)
        distances = Contender(partial(_nearest_by_distance, latents, codebook), gflop)
        work = f"Nearest of {num_codes} codes of {size}"
        yield Contest(f"{work}: ours over the bare GEMM", "GFLOP", ours, gemm)
        yield Contest(f"{work}: ours over cdist and argmin", "GFLOP", ours, distances)


def _nearest_by_distance(latents: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(latents, codebook).argmin(1)


def _prior_parts(config: PriorConfig, batch_size: int) -> Iterator[Contest]:
    """What a training step of the prior does besides its layers' products, against torch's own way."""
    length, width = config.sequence_length, config.transformer.width
    hidden = torch.randn(batch_size, length, width, dtype=_precision(), requires_grad=True)
    share = config.transformer.dropout
    ours, theirs = (
        _forward_backward(dropout, [hidden], [], batch_size)
        for dropout in (partial(drop, share=share), partial(F.dropout, p=share))
    )
    yield Contest(f"Dropout of {length} x {width}: ours over torch's", "pairs", ours, theirs)

    prior, targets = Prior(config), torch.randint(config.num_codes, (batch_size, length))

    def all_at_once(hidden: Tensor) -> Tensor:
        logits = prior.score(hidden, slice(length)).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    few, all_ = (
        _forward_backward(loss, [hidden], prior.head.parameters(), batch_size)
        for loss in (lambda hidden: prior.cross_entropy(hidden, targets), all_at_once)
    )
    yield Contest("Loss of the prior: few sequences at a time over all at once", "pairs", few, all_)


def _models(preset: _Preset, batch_size: int) -> Iterator[Contest]:
    """Training steps of both stages and sampling, with the models of the shipped weights' sizes."""
    tokenizer, captions, config, prior_config = preset
    images = torch.rand(batch_size, 3, config.image.image_size, config.image.image_size)
    pairs = PairBatch(images, tokenizer.encode(captions[:batch_size]))
    indices = torch.randint(config.quantizer.num_codes, (batch_size, config.sequence_length))
    yield from _training_steps("Autoencoder", MXQVAE(config), pairs, batch_size)
    yield from _training_steps("Prior", Prior(prior_config), indices, batch_size)

    generator = PairGenerator(tokenizer, MXQVAE(config), Prior(prior_config))
    yield Contest(
        "Sampling: with cache over recomputing",
        "pairs",
        Contender(lambda: list(generator.sample(batch_size)), batch_size),
        Contender(
            lambda: generator.decode(sample_without_cache(generator.prior, SamplingConfig(), batch_size)),
            batch_size,
        ),
    )


def _training_steps(name: str, model: nn.Module, batch: object, batch_size: int) -> Iterator[Contest]:
    """An optimiser step against the GEMM ceiling, and against one in fp32 where it is in bf16."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    step, fp32 = (
        partial(training_step, model, batch, optimizer, 1e-4, TrainingConfig(num_steps=1, bf16=bf16))
        for bf16 in (True, False)
    )
    if _multiplies_bf16():
        sides = (Contender(step, batch_size), Contender(fp32, batch_size))
        yield Contest(f"{name} step: bf16 over fp32", "pairs", *sides)
    with FlopCounterMode(display=False) as counter:
        step()
    ours = Contender(step, counter.get_total_flops() / 1e9)
    yield Contest(f"{name} step: over the GEMM", "GFLOP", ours, _gemm(_precision()))


@torch.inference_mode()
def sample_without_cache(prior: Prior, sampling: SamplingConfig, num: int) -> Tensor:
    """Draw `num` samples, indices (num, T), and compute all earlier positions anew for each code."""
    indices = torch.zeros(num, prior.config.sequence_length, dtype=torch.int64)
    for position in range(prior.config.sequence_length):
        x = torch.cat([indices.new_full((num, 1), prior.start_index), indices[:, :position]], dim=1)
        hidden = prior.transformer(prior.embedding(x) + prior.positions[: position + 1])
        logits = filter_logits(prior.score(hidden[:, -1], position), sampling)
        indices[:, position] = draw(logits, torch.rand(num, dtype=torch.float64))
    return indices
