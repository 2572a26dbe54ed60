"""Trains the joint embedding on the real pairs of a data set."""

import math
from pathlib import Path

import torch
from torch import Tensor

from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.text import AttentiveTextConfig
from mxqvae.config import to_json
from mxqvae.data.batch import PairBatch
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.data.validation_split import split_validation
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.contrastive import ContrastiveConfig, ContrastiveModel, JointEmbedding
from mxqvae.progress import Progress
from mxqvae.training.loop import TrainingConfig, train, within_epochs

VOCAB_SIZE = 2000
"""Subwords, most of which the captions of a few thousand images hold often enough to be learnt."""
TRAINING = TrainingConfig(
    num_steps=3000, batch_size=256, learning_rate=1e-3, weight_decay=0.05, num_warmup_steps=200
)
"""How it learns."""
MAX_EPOCHS = 60
"""How often training sees a pair, at most."""
HELD_OUT_SHARE = 0.05
"""Of the training pairs: the log tells their loss."""
HELD_OUT_AT_A_TIME = 64
"""Of which each has to find its own."""
STRIDES = (4, 2)
"""Of the image encoder's convolutions."""
LONGEST_CAPTION = 64
"""Tokens; what is longer is cut."""
LARGEST_SHIFT = 1 / 16
"""Of the side of an image, either way: the most that training moves it."""


def contrastive_config(
    tokenizer: CaptionTokenizer, image_size: int, training: TrainingConfig
) -> ContrastiveConfig:
    """The sizes of the `cpu` preset, for a tokenizer and square images of `image_size` pixels.

    Raises:
        MxqvaeError: An image size that its strides do not divide.
    """
    if image_size % math.prod(STRIDES):
        raise MxqvaeError(
            f"images of {image_size} x {image_size} pixels; the joint embedding takes multiples of "
            f"{math.prod(STRIDES)}, such as `mxqvae data folder` makes by default"
        )
    return ContrastiveConfig(
        image=ImageConfig(image_size=image_size, strides=STRIDES, widths=(48, 128), num_residual_blocks=2),
        vocab_size=tokenizer.vocab_size,
        caption_length=tokenizer.max_length,
        training=training,
    )


def contrastive_tokenizer(captions: list[str]) -> CaptionTokenizer:
    """Subwords of the training captions; a length that the text encoder can divide among its latents."""
    num_latents = AttentiveTextConfig().num_latents
    tokenizer = CaptionTokenizer.train_subwords(captions, vocab_size=VOCAB_SIZE)
    length = min(LONGEST_CAPTION, -(-tokenizer.max_length // num_latents) * num_latents)
    return tokenizer.with_max_length(length)


def train_contrastive(
    pairs: PairDataset,
    training: TrainingConfig,
    folder: Path,
    *,
    max_epochs: int | None = MAX_EPOCHS,
    progress: Progress | None = None,
) -> JointEmbedding:
    """Train a joint embedding; the same call resumes an interrupted run.

    Training moves the images of each batch by a few pixels, all by the same amount: equal images stay equal.
    A twentieth of the pairs is held out, for the log.

    Args:
        pairs: Real pairs; those known in part are left out.
        training: How it learns, such as `TRAINING`.
        folder: Takes the checkpoint and the log.
        max_epochs: How often a pair is seen at most: few pairs take few steps; none: no bound.

    Raises:
        MxqvaeError: No whole pairs, images that are not square, or a checkpoint of another run.
    """
    pairs = pairs.whole()
    if not len(pairs):
        raise MxqvaeError("no image has a caption to learn from; give a data set with captions")
    tokenizer = contrastive_tokenizer(pairs.captions)
    learned, held_out = split_validation(pairs, HELD_OUT_SHARE)
    if max_epochs is not None:
        training = within_epochs(training, len(learned), max_epochs, progress)
    config = contrastive_config(tokenizer, pairs.shape(tokenizer).image_size, training)
    torch.manual_seed(training.seed)
    model = ContrastiveModel(config)
    token_ids = tokenizer.encode(pairs.captions)

    def batch_of(rows: Tensor) -> PairBatch:
        return PairBatch(shift(pairs.images_of(learned[rows])), token_ids[learned[rows]])

    batches = [
        PairBatch(pairs.images_of(rows), token_ids[rows])
        for rows in held_out.split(HELD_OUT_AT_A_TIME)
        if len(rows)
    ]
    train(
        model,
        batch_of,
        len(learned),
        training,
        folder,
        identity=f"{to_json(config)}{pairs.digest()} {len(held_out)} held out",
        description="train contrastive",
        progress=progress,
        held_out=batches,
    )
    return JointEmbedding(model, tokenizer)


def shift(images: Tensor) -> Tensor:
    """Move `images` (B, 3, H, W) by one random amount each way, the border's pixels repeated."""
    size = images.shape[2]
    reach = round(size * LARGEST_SHIFT)
    padded = torch.nn.functional.pad(images, [reach] * 4, mode="replicate")
    y, x = torch.randint(2 * reach + 1, (2,)).tolist()
    return padded[:, :, y : y + size, x : x + size]
