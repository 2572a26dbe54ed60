"""Joint GAN + MMVAE together: trained into one model folder, sampled like the models it stands beside.

tokenizer.json
mmvae/config.json, mmvae/model.safetensors
joint_gan/config.json, joint_gan/model.safetensors
runs/mmvae, runs/joint_gan      checkpoints, logs and pictures
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.baselines.joint_gan import JointGAN, JointGANConfig, LatentPairs
from mxqvae.baselines.mmvae import MMVAE, MMVAEConfig
from mxqvae.config import changed, to_tree
from mxqvae.data.batch import PairBatch, PairShape, mirror_half, to_bytes
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import TOKENIZER_FILE, CaptionTokenizer
from mxqvae.encoding import PAIRS_AT_A_TIME
from mxqvae.errors import MxqvaeError
from mxqvae.generation.contact_sheet import contact_sheet, write_picture
from mxqvae.pretrained import load_pretrained, save_pretrained
from mxqvae.prior.sampling import BLOCK_SIZE, blocks_of, check_numbers, uniform_noise
from mxqvae.progress import NoProgress, Progress
from mxqvae.recipes.presets import cpu_image, short_runs
from mxqvae.stages import NUM_PICTURED, check_model_folder, tokenizer_of
from mxqvae.training.loop import TrainingConfig, train


@dataclass(frozen=True, kw_only=True)
class LatentPairsTraining:
    """How both parts learn; the defaults cost what the recipe pairs-cpu does, about."""

    mmvae: TrainingConfig = TrainingConfig(num_steps=12_000, batch_size=64, learning_rate=1e-3)
    """The MMVAE."""
    joint_gan: TrainingConfig = TrainingConfig(
        num_steps=20_000, batch_size=256, learning_rate=2e-4, weight_decay=0.0, bf16=False
    )
    """The JointGAN."""
    horizontal_flip: bool = False
    """Whether half of the images are mirrored, as those of the recipe that the baseline stands beside."""


class DecodedPairs(NamedTuple):
    """B pairs, as people look at them."""

    images: np.ndarray
    """(B, H, W, 3) uint8."""
    captions: list[str]
    """B raw captions."""


class LatentPairGenerator:
    """Tokenizer, MMVAE and JointGAN of one model, in eval mode."""

    def __init__(self, tokenizer: CaptionTokenizer, mmvae: MMVAE, joint_gan: JointGAN) -> None:
        """Put the parts together.

        Raises:
            MxqvaeError: They were not made for each other.
        """
        if mmvae.config.joint_size != joint_gan.config.joint_size:
            raise MxqvaeError("the Joint GAN was trained on latents of another MMVAE; train it on this one's")
        if (mmvae.config.vocab_size, mmvae.config.caption_length) != (
            tokenizer.vocab_size,
            tokenizer.max_length,
        ):
            raise MxqvaeError("the tokenizer is not the MMVAE's; use the one it was trained with")
        self.tokenizer, self.mmvae, self.joint_gan = tokenizer, mmvae.eval(), joint_gan.eval()

    @classmethod
    def from_pretrained(cls, folder: Path) -> "LatentPairGenerator":
        """Load a folder of `train_latent_pairs`.

        Raises:
            MxqvaeError: A file that is missing or damaged.
        """
        remedy = "train it with `mxqvae train joint-gan`"
        mmvae = load_pretrained(folder / "mmvae", MMVAEConfig, MMVAE, remedy)
        joint_gan = load_pretrained(folder / "joint_gan", JointGANConfig, JointGAN, remedy)
        return cls(CaptionTokenizer.load(folder / TOKENIZER_FILE), mmvae, joint_gan)

    def sample(self, num: int, *, seed: int = 0, first: int = 0) -> Iterator[DecodedPairs]:
        """Sample pairs `first` to `first + num` of `seed`, up to 64 at a time.

        A pair is a function of the weights, `seed` and its number alone: blocks of 64 are computed whole.

        Raises:
            MxqvaeError: At once, a number out of range.
        """
        check_numbers(num=num, seed=seed, first=first)
        return self._sample(num, seed, first)

    def _sample(self, num: int, seed: int, first: int) -> Iterator[DecodedPairs]:
        for start, wanted in blocks_of(num=num, first=first):
            length = 2 * self.joint_gan.config.noise_size
            uniform = torch.stack([uniform_noise(seed, start + row, length) for row in range(BLOCK_SIZE)])
            # The inverse of the normal distribution, kept from minus infinity.
            noise = torch.special.ndtri(uniform.clamp(min=2.0**-54)).float()
            pairs = self._decode(self.joint_gan.sample(noise))
            yield DecodedPairs(pairs.images[wanted], pairs.captions[wanted])

    def _decode(self, latents: LatentPairs) -> DecodedPairs:
        pairs = self.mmvae.decode(latents.image, latents.text)
        return DecodedPairs(to_bytes(pairs.images).numpy(), self.tokenizer.decode(pairs.token_ids))


def train_latent_pairs(
    data: Path,
    out: Path,
    training: LatentPairsTraining = LatentPairsTraining(),
    *,
    progress: Progress | None = None,
) -> float:
    """Train the MMVAE and then the JointGAN on the whole pairs of a data set; resumes what was interrupted.

    Returns:
        Seconds of training, earlier sessions included.

    Raises:
        MxqvaeError: A data set of fewer than two whole pairs, or an `out` that holds something else.
    """
    check_model_folder(out)
    pairs = PairDataset.from_parquet(data, "train").whole()
    if len(pairs) < 2:
        raise MxqvaeError(
            f"data set {data}: {len(pairs)} images with a caption; the baseline needs two or more"
        )
    tokenizer = tokenizer_of(data, pairs.captions, None)
    config = mmvae_config(pairs.shape(tokenizer))
    token_ids = tokenizer.encode(pairs.captions)
    torch.manual_seed(training.mmvae.seed)
    mmvae = MMVAE(config)
    run = out / "runs" / "mmvae"
    learned_from = pairs.digest() + "mirrored" * training.horizontal_flip

    def batch_of(rows: Tensor) -> PairBatch:
        images = pairs.images_of(rows)
        return PairBatch(mirror_half(images) if training.horizontal_flip else images, token_ids[rows])

    def picture(step: int) -> None:
        rows = torch.arange(min(NUM_PICTURED, len(pairs)))
        batch = PairBatch(pairs.images_of(rows), token_ids[rows])
        decoded = mmvae.decode(*mmvae.encode(batch))
        captions = [*tokenizer.decode(batch.token_ids), *tokenizer.decode(decoded.token_ids)]
        images = to_bytes(torch.cat([batch.images, decoded.images])).numpy()
        sheet = contact_sheet(images, captions, columns=len(rows))
        write_picture(run / f"reconstructions-{step:07d}.png", sheet)

    seconds = train(
        mmvae,
        batch_of,
        len(pairs),
        training.mmvae,
        run,
        identity=_identity(config, training.mmvae, learned_from),
        description="train mmvae",
        progress=progress,
        on_checkpoint=picture,
    )
    tokenizer.save(out / TOKENIZER_FILE)
    save_pretrained(out / "mmvae", config, mmvae)

    # Mirrored images are further pairs, as they are for stage 2 of a recipe.
    views = [pairs.images_of, *([pairs.mirrored_images_of] if training.horizontal_flip else [])]
    latents = encode_latents(mmvae, views, token_ids, progress=progress)
    gan_config = JointGANConfig(joint_size=config.joint_size)
    torch.manual_seed(training.joint_gan.seed)
    joint_gan = JointGAN(gan_config)
    joint_gan.standardise_by(latents)
    seconds += train(
        joint_gan,
        lambda rows: LatentPairs(latents.image[rows], latents.text[rows]),
        len(latents.image),
        training.joint_gan,
        out / "runs" / "joint_gan",
        identity=_identity(gan_config, training.joint_gan, learned_from + str(training.mmvae)),
        description="train joint gan",
        progress=progress,
    )
    save_pretrained(out / "joint_gan", gan_config, joint_gan)
    return seconds


def holds_latent_pairs(folder: Path) -> bool:
    """Whether a model folder holds a Joint GAN + MMVAE rather than the two stages of a recipe."""
    return (folder / "joint_gan").is_dir()


def with_seed(training: LatentPairsTraining, seed: int) -> LatentPairsTraining:
    """The same training from another seed.

    Raises:
        MxqvaeError: A seed of 2^32 or more.
    """
    parts = {"mmvae": training.mmvae, "joint_gan": training.joint_gan}
    return replace(training, **{name: changed(part, "training", seed=seed) for name, part in parts.items()})


def mmvae_config(pairs: PairShape) -> MMVAEConfig:
    """The sizes of the recipe pairs-cpu, so that the encoders and decoders of both rows are the same."""
    return MMVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        image=cpu_image(pairs),
        text=AttentiveTextConfig(num_latents=short_runs(pairs.caption_length)),
    )


def encode_latents(
    mmvae: MMVAE,
    views: Sequence[Callable[[Tensor], Tensor]],
    token_ids: Tensor,
    *,
    progress: Progress | None = None,
) -> LatentPairs:
    """The joint latents (V·N, Z) of both halves of N pairs in each view of their images, in eval mode."""
    images, texts = [], []
    total = len(views) * len(token_ids)
    with (progress or NoProgress()).task("encode pairs", total=total, unit="pairs") as advance:
        for images_of in views:
            for rows in torch.arange(len(token_ids)).split(PAIRS_AT_A_TIME):
                image, text = mmvae.encode(PairBatch(images_of(rows), token_ids[rows]))
                images.append(image)
                texts.append(text)
                advance(len(rows))
    return LatentPairs(torch.cat(images), torch.cat(texts))


def _identity(config: MMVAEConfig | JointGANConfig, training: TrainingConfig, data: str) -> str:
    return json.dumps({"model": to_tree(config), "training": to_tree(training), "data": data})
