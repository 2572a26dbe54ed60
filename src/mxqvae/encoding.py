"""The codes that a trained stage 1 gives the pairs of a data set, and the images that it makes of them."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mxqvae.autoencoder.image import check_image_size
from mxqvae.autoencoder.kinds import Autoencoder
from mxqvae.data.batch import PairBatch, to_bytes
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.data.validation_split import split_validation
from mxqvae.device import find_device, to_device
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file
from mxqvae.pretrained import WEIGHTS_FILE
from mxqvae.prior.reader import CodedPairs
from mxqvae.progress import NoProgress, Progress
from mxqvae.recipes.recipe import Recipe

PAIRS_AT_A_TIME = 250


def encode_pairs(
    autoencoder: Autoencoder,
    tokenizer: CaptionTokenizer,
    pairs: PairDataset,
    *,
    images_of: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Code indices (N, T) of a whole split, nothing masked, in eval mode.

    Args:
        images_of: Another view of the images than `pairs.images_of`.

    Raises:
        MxqvaeError: No pair, or images of another size than the autoencoder's.
    """
    if not len(pairs):
        raise MxqvaeError("no pair with both an image and a caption; give a split that has some")
    size, shape = autoencoder.config.image_size, pairs.shape(tokenizer)
    check_image_size(shape.image_size, shape.image_size, size)
    token_ids = tokenizer.encode(pairs.captions)
    images_of = images_of or pairs.images_of
    device = find_device()
    autoencoder.to(device)
    parts = []
    with (progress or NoProgress()).task("encode pairs", total=len(pairs), unit="pairs") as advance:
        for rows in torch.arange(len(pairs)).split(PAIRS_AT_A_TIME):
            batch = to_device(PairBatch(images_of(rows), token_ids[rows]), device)
            parts.append(autoencoder.encode(batch).cpu())
            advance(len(rows))
    autoencoder.cpu()
    return torch.cat(parts)


def reconstruct_images(
    autoencoder: Autoencoder,
    tokenizer: CaptionTokenizer,
    pairs: PairDataset,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """Images (N, H, W, 3) uint8 of whole pairs, encoded and decoded.

    Raises:
        MxqvaeError: As `encode_pairs`.
    """
    indices = encode_pairs(autoencoder, tokenizer, pairs, progress=progress)
    return torch.cat([to_bytes(autoencoder.decode(batch).images) for batch in indices.split(PAIRS_AT_A_TIME)])


def training_codes(
    recipe: Recipe,
    data: Path,
    out: Path,
    autoencoder: Autoencoder,
    tokenizer: CaptionTokenizer,
    progress: Progress | None,
) -> tuple[CodedPairs, CodedPairs]:
    """Codes and captions of the training split: those to learn from, and those that are held out.

    The codes are kept in the folder for resumed runs and other processes. The images are not kept in memory:
    codes take a hundredth of it.

    Args:
        out: The model folder that stage 1 is in.

    Raises:
        MxqvaeError: A data set without a whole pair, or one that does not fit stage 1.
    """
    pairs = PairDataset.from_parquet(data, "train").whole()
    if not len(pairs):
        raise MxqvaeError(f"data set {data}: no image has a caption; stage 2 learns from whole pairs")
    # Mirrored images are further pairs: their codes are others.
    views = [pairs.images_of, *([pairs.mirrored_images_of] if recipe.horizontal_flip else [])]
    token_ids = tokenizer.encode(pairs.captions)
    learned, held_out = split_validation(pairs, recipe.held_out_share)

    def parts(indices: Tensor) -> tuple[CodedPairs, CodedPairs]:
        """Of the codes of all views: every view of what is learned, the first of what is held out."""
        by_view = indices.view(len(views), len(pairs), -1)
        return (
            CodedPairs(by_view[:, learned].flatten(0, 1), token_ids[learned].repeat(len(views), 1)),
            CodedPairs(by_view[0, held_out], token_ids[held_out]),
        )

    path = out / "runs" / "prior" / "indices.safetensors"
    weights = (out / "autoencoder" / WEIGHTS_FILE).read_bytes()
    content = weights + pairs.digest().encode() + b"mirrored" * recipe.horizontal_flip
    identity = hashlib.sha256(content).hexdigest()
    # A file that is missing or damaged is made anew.
    with suppress(FileNotFoundError, SafetensorError), safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("identity") == identity:
            return parts(file.get_tensor("indices").long())
    indices = torch.cat(
        [encode_pairs(autoencoder, tokenizer, pairs, images_of=view, progress=progress) for view in views]
    )
    with new_output_file(path) as partial:
        partial.write_bytes(save({"indices": indices.int()}, metadata={"identity": identity}))
    return parts(indices)
