"""Both stages together: a seed goes in, image-caption pairs come out.

A model folder, and a hub repository, holds

    tokenizer.json
    autoencoder/config.json, autoencoder/model.safetensors
    prior/config.json, prior/model.safetensors
    reader/config.json, reader/model.safetensors        if images are to be found for captions
    generation.json          how pairs are drawn unless told otherwise
    recipe.json              by which recipe stage 1 was trained, where it was by one of ours
    README.md                the model card
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import huggingface_hub  # loads what is used of it when it is used
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mxqvae.autoencoder.image import check_image_size
from mxqvae.autoencoder.kinds import Autoencoder, AutoencoderConfig, build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.config import configuration, from_json, to_json
from mxqvae.data.batch import PairBatch, to_bytes, to_floats
from mxqvae.data.tokenizer import TOKENIZER_FILE, CaptionTokenizer
from mxqvae.device import to_device
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pair_fit import PairFit, PairLikelihood
from mxqvae.generation.redrawing import DrawnPairs, redraw_misfits
from mxqvae.output_file import new_output_file
from mxqvae.pretrained import load_pretrained, save_pretrained
from mxqvae.prior.bits import caption_code_bits
from mxqvae.prior.reader import CaptionReader, ReaderConfig
from mxqvae.prior.sampling import Block, SamplingConfig, check_sampling, draw_samples, sample_blocks
from mxqvae.prior.transformer import Prior, PriorConfig

_WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED_WEIGHTS = _WEIGHTS / "caption-mnist-cpu"
"""Caption MNIST, `cpu` preset, trained by the recipe caption-mnist-cpu."""
SHIPPED_BESIDE = {"emoji-cpu": _WEIGHTS / "emoji-cpu"}
"""Further weights in the package, found by their names: emoji, trained by the recipe pairs-cpu."""
NUM_ATTEMPTS_THAT_KEEP = 2
"""Attempts to draw a pair anew that keep a plausible caption, where captions are drawn first.

Captions with many slots are doubted more often, and would become rarer. But some fit no image.
"""
PAIRS_MEASURED_TOGETHER = 20
"""Pairs whose likelihood is computed together, always, so that they round the same."""
GENERATION_FILE = "generation.json"


@configuration
class GenerationConfig:
    """How the pairs of a model are drawn; a recipe's choice, which its weights carry."""

    sampling: SamplingConfig = SamplingConfig()
    """How logits become codes."""
    num_refinements: Annotated[int, Field(ge=0)] = 0
    """How often drawn codes pass through stage 1, see `PairGenerator.refine`."""
    max_word_bits: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """A pair that has a word dearer than this to stage 1 is drawn anew, see `redrawing`; none: no pair is."""
    max_caption_code_bits: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Where captions are drawn first: so is a pair that has a caption's code dearer than this to the prior.

    Otherwise the first attempts keep the caption, see `NUM_ATTEMPTS_THAT_KEEP`.
    """

    def without_redraws(self) -> "GenerationConfig":
        """The same, but no pair is drawn anew."""
        return replace(self, max_word_bits=None, max_caption_code_bits=None)


class SampledPairs(NamedTuple):
    """B pairs, as people look at them."""

    images: np.ndarray
    """(B, H, W, 3) uint8."""
    captions: list[str]
    """B raw captions."""
    indices: Tensor
    """(B, T), the codes they were decoded from."""


class PairGenerator:
    """Tokenizer, autoencoder, prior and, where there is one, reader of one model, in eval mode."""

    def __init__(
        self,
        tokenizer: CaptionTokenizer,
        autoencoder: Autoencoder,
        prior: Prior,
        generation: GenerationConfig = GenerationConfig(),
        reader: CaptionReader | None = None,
    ) -> None:
        """Put the parts together; without a reader, no image is found for a caption (`completion`).

        Raises:
            MxqvaeError: They were not made for each other.
        """
        if _code_layout(autoencoder.config) != _code_layout(prior.config):
            raise MxqvaeError("the prior was trained on codes of another autoencoder; train it on this one's")
        captions = (autoencoder.config.vocab_size, autoencoder.config.caption_length)
        if captions != (tokenizer.vocab_size, tokenizer.max_length):
            raise MxqvaeError("the tokenizer is not the autoencoder's; use the one it was trained with")
        if reader is not None:
            read = (reader.config.vocab_size, reader.config.caption_length, reader.config.prior)
            if read != (*captions, prior.config.transformer):
                raise MxqvaeError("the reader was trained with another model; train it with this one")
            reader.eval()
        self.tokenizer, self.autoencoder, self.prior = tokenizer, autoencoder.eval(), prior.eval()
        self.generation, self.reader = generation, reader

    @classmethod
    def from_pretrained(cls, weights: str | Path = SHIPPED_WEIGHTS) -> "PairGenerator":
        """Load a folder of `save_pretrained`, or a hub repository such as `"user/name"`.

        Raises:
            MxqvaeError: No such folder or repository, or a file that is missing or damaged.
        """
        folder = find_weights(weights)
        tokenizer = load_tokenizer(folder)
        autoencoder = load_autoencoder(folder / "autoencoder")
        prior = load_prior(folder / "prior")
        return cls(tokenizer, autoencoder, prior, load_generation(folder), load_reader(folder))

    def to(self, device: torch.device) -> "PairGenerator":
        """Compute on `device` from now on; what is given and what comes back stays on the CPU."""
        self.autoencoder.to(device)
        self.prior.to(device)
        if self.reader is not None:
            self.reader.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where both stages are."""
        return self.prior.head.weight.device

    def save_pretrained(self, folder: Path) -> None:
        """Write all parts into `folder`, weights as float16."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder / TOKENIZER_FILE)
        save_pretrained(folder / "autoencoder", self.autoencoder.config, self.autoencoder)
        save_pretrained(folder / "prior", self.prior.config, self.prior)
        if self.reader is not None:
            save_pretrained(folder / "reader", self.reader.config, self.reader)
        save_generation(folder, self.generation)

    def push_to_hub(self, repository: str, folder: Path, *, private: bool = False) -> str:
        """Save to `folder` and upload it as `repository` (`"user/name"`); returns its address."""
        self.save_pretrained(folder)
        api = huggingface_hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder))

    def sample(
        self, num: int, *, seed: int = 0, first: int = 0, generation: GenerationConfig | None = None
    ) -> Iterator[SampledPairs]:
        """Sample pairs `first` to `first + num` of `seed`, up to 64 at a time.

        A pair is a function of the weights, `generation`, `seed` and its number alone.

        Args:
            generation: How they are drawn; None: as the weights bring it.

        Raises:
            MxqvaeError: At once, a number out of range, see `sample_indices`; a bound on the bits of words
                where stage 1 encodes image and caption apart and so cannot tell; or one on those of captions'
                codes where the prior does not draw captions first.
        """
        generation = self.generation if generation is None else generation
        sampling = generation.sampling
        check_sampling(self.prior, sampling, num=num, seed=seed, first=first)
        if generation.max_word_bits is not None:
            self._joint_autoencoder("leave max_word_bits out")
        if generation.max_caption_code_bits is not None and self.prior.config.caption_first is None:
            raise MxqvaeError(
                "this prior does not draw captions first and cannot judge them alone; "
                "leave max_caption_code_bits out"
            )
        blocks = sample_blocks(self.prior, sampling, num=num, seed=seed, first=first)
        return (self._finish(block, seed, generation) for block in blocks)

    def refine(self, indices: Tensor) -> Tensor:
        """Codes (B, T) of the pairs that `indices` (B, T) decode to.

        The prior can draw an image and a caption that nearly agree. A joint stage 1 has learned to repair a
        caption that lies about its image and an image with holes, so what it makes of such a pair agrees
        better.
        """
        indices = indices.to(self.device)
        return self.autoencoder.encode(self.autoencoder.decode(indices)).cpu()

    @torch.no_grad()
    def _finish(self, block: Block, seed: int, generation: GenerationConfig) -> SampledPairs:
        """Refine, decode and mend a whole block, whose fixed shape keeps roundings the same, then cut it."""
        drawn = self._refine_and_decode(block.indices, generation.num_refinements)
        if generation.max_word_bits is not None or generation.max_caption_code_bits is not None:
            kept = self._captions_to_keep(block.indices, drawn, generation)

            def draw_again(rows: Tensor, attempt: int) -> DrawnPairs:
                indices = draw_samples(
                    self.prior,
                    generation.sampling,
                    seed=seed,
                    samples=[block.start + row for row in rows.tolist()],
                    attempt=attempt,
                    given=kept[rows] if attempt <= NUM_ATTEMPTS_THAT_KEEP else None,
                )
                return self._refine_and_decode(indices, generation.num_refinements)

            drawn = redraw_misfits(
                drawn, misfit=lambda pairs: self._misfit(pairs, generation), draw_again=draw_again
            )
        return self._shown(DrawnPairs(*(part[block.wanted] for part in drawn)))

    def _misfit(self, drawn: DrawnPairs, generation: GenerationConfig) -> Tensor:
        """How far each of B pairs is beyond the bounds, (B,): above 1, beyond one of them."""
        excess = torch.zeros(len(drawn.indices), dtype=torch.float64, device=drawn.indices.device)
        if generation.max_word_bits is not None:
            fit = PairFit(self._joint_autoencoder("leave max_word_bits out"), self.prior)
            bits = fit.worst_word_bits(PairBatch(*drawn[1:]))
            excess = excess.maximum(bits / generation.max_word_bits)
        if generation.max_caption_code_bits is not None:
            bits = caption_code_bits(self.prior, drawn.indices).amax(1)
            excess = excess.maximum(bits / generation.max_caption_code_bits)
        return excess

    def _captions_to_keep(self, indices: Tensor, drawn: DrawnPairs, generation: GenerationConfig) -> Tensor:
        """Codes (B, T) that an attempt to draw pairs anew may keep, -1 elsewhere: plausible captions.

        Args:
            indices: (B, T), as the prior drew them.
            drawn: What became of them.
        """
        kept = torch.full_like(indices, -1)
        positions = list(self.prior.config.caption_positions)
        kept[:, positions] = indices[:, positions]
        implausible = self._misfit(drawn, replace(generation, max_word_bits=None)) > 1
        kept[implausible.cpu()] = -1
        return kept

    def _refine_and_decode(self, indices: Tensor, num_refinements: int) -> DrawnPairs:
        indices = indices.to(self.device)
        for _ in range(num_refinements):
            indices = self.refine(indices).to(self.device)
        return DrawnPairs(indices, *self.autoencoder.decode(indices))

    def _joint_autoencoder(self, remedy: str) -> MXQVAE:
        """Stage 1, where it can hold a caption against an image."""
        if not isinstance(self.autoencoder, MXQVAE):
            raise MxqvaeError(
                f"these weights encode image and caption apart and cannot tell which pairs fit; {remedy}"
            )
        return self.autoencoder

    def likelihood(self, images: np.ndarray, captions: list[str]) -> PairLikelihood:
        """Bits of whole pairs under both stages; other pairs given with one change nothing.

        Args:
            images: (B, H, W, 3) uint8, of the model's size; B at least 1.
            captions: B.

        Raises:
            MxqvaeError: Images of another form or number, a caption with words outside the vocabulary, or a
                stage 1 that encodes image and caption apart.
        """
        fit = PairFit(self._joint_autoencoder("measure the codes with `mxqvae.prior.bits`"), self.prior)
        self._check_pairs(images, captions)
        pixels, token_ids = torch.from_numpy(images), self.tokenizer.encode(captions)
        blocks = []
        for rows in torch.arange(len(captions)).split(PAIRS_MEASURED_TOGETHER):
            filled = torch.cat([rows, rows[-1:].expand(PAIRS_MEASURED_TOGETHER - len(rows))])
            batch = to_device(PairBatch(to_floats(pixels[filled]), token_ids[filled]), self.device)
            blocks.append([bits[: len(rows)].cpu() for bits in fit.likelihood(batch)])
        return PairLikelihood(*map(torch.cat, zip(*blocks, strict=True)))

    def encode(self, images: np.ndarray, captions: list[str]) -> Tensor:
        """Indices (B, T) of `images` (B, H, W, 3) uint8 and their captions; B at least 1.

        Raises:
            MxqvaeError: Images of another form or number, or a caption with words outside the vocabulary.
        """
        self._check_pairs(images, captions)
        floats = to_floats(torch.from_numpy(images))
        batch = to_device(PairBatch(floats, self.tokenizer.encode(captions)), self.device)
        return self.autoencoder.encode(batch).cpu()

    def _check_pairs(self, images: np.ndarray, captions: list[str]) -> None:
        size = self.autoencoder.config.image_size
        if images.ndim == 4:
            check_image_size(images.shape[2], images.shape[1], size)
        if not captions or images.shape != (len(captions), size, size, 3) or images.dtype != np.uint8:
            raise MxqvaeError(
                f"{len(captions)} captions need as many images of {size} x {size} pixels, "
                f"({len(captions)}, {size}, {size}, 3) uint8, at least one; got {images.shape} {images.dtype}"
            )

    def decode(self, indices: Tensor) -> SampledPairs:
        """The pairs of `indices` (B, T)."""
        return self._shown(self._refine_and_decode(indices, 0))

    def _shown(self, drawn: DrawnPairs) -> SampledPairs:
        images = to_bytes(drawn.images).cpu().numpy()
        return SampledPairs(images, self.tokenizer.decode(drawn.token_ids.cpu()), drawn.indices.cpu())


def find_weights(weights: str | Path) -> Path:
    """The folder of `weights`: itself, that of shipped weights, or a download of a hub repository.

    Raises:
        MxqvaeError: There is none of that name.
    """
    if Path(weights).is_dir():
        return Path(weights)
    if str(weights) in SHIPPED_BESIDE:
        return SHIPPED_BESIDE[str(weights)]
    try:
        return Path(huggingface_hub.snapshot_download(str(weights)))
    except Exception as error:  # the hub's client raises errors of many libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MxqvaeError(
            f"weights {str(weights)!r}: no such folder, nor a Hugging Face repository within reach "
            f"({reason}); give a folder that training wrote, {', '.join(SHIPPED_BESIDE)}, or nothing for the "
            "weights of Caption MNIST"
        ) from None


def load_tokenizer(folder: Path) -> CaptionTokenizer:
    """The tokenizer of a model folder."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise MxqvaeError(f"{path} is missing; `mxqvae train autoencoder` writes it")
    return CaptionTokenizer.load(path)


def load_generation(folder: Path) -> GenerationConfig:
    """How the pairs of a model folder are drawn: what its file says, or as the prior gives them."""
    path = folder / GENERATION_FILE
    if not path.is_file():
        return GenerationConfig()
    return from_json(GenerationConfig, path.read_bytes(), str(path))


def save_generation(folder: Path, generation: GenerationConfig) -> None:
    """Write the file that `load_generation` reads."""
    with new_output_file(folder / GENERATION_FILE) as path:
        path.write_text(to_json(generation) + "\n")


def load_autoencoder(folder: Path) -> Autoencoder:
    """The autoencoder, of either kind, of a model folder's part `folder`."""
    remedy = "train it with `mxqvae train autoencoder`"
    return load_pretrained(folder, AutoencoderConfig, build_autoencoder, remedy)


def load_prior(folder: Path) -> Prior:
    """The prior of a model folder's part `folder`."""
    remedy = "train it with `mxqvae train prior`"
    return load_pretrained(folder, PriorConfig, Prior, remedy)


def load_reader(folder: Path) -> CaptionReader | None:
    """The reader of a model folder; None where it has none."""
    if not (folder / "reader").is_dir():
        return None
    remedy = "train it with `mxqvae train reader`"
    return load_pretrained(folder / "reader", ReaderConfig, CaptionReader, remedy)


def _code_layout(config: AutoencoderConfig | PriorConfig) -> tuple[object, ...]:
    """What an autoencoder and its prior have to agree on."""
    return config.num_codes, config.sequence_length, config.segments
