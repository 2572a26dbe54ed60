"""Trains stage 1, stage 2, and a reader, by a recipe, into a model folder that `PairGenerator` opens.

Beside the finished weights, `runs/autoencoder`, `runs/prior` and `runs/reader` in it keep checkpoint, log and
pictures.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig, arrange
from mxqvae.autoencoder.kinds import Autoencoder, build_autoencoder
from mxqvae.autoencoder.perceptual import feature_stages
from mxqvae.config import changed, to_json, to_tree
from mxqvae.data.batch import PairBatch, PairShape, mirror_half, to_bytes
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import TOKENIZER_FILE, CaptionTokenizer
from mxqvae.data.warping import warp
from mxqvae.device import find_device
from mxqvae.encoding import training_codes
from mxqvae.errors import MxqvaeError
from mxqvae.generation.completion import CompletionConfig, check_completion, complete
from mxqvae.generation.contact_sheet import contact_sheet, write_picture
from mxqvae.generation.pipeline import (
    PairGenerator,
    load_autoencoder,
    load_prior,
    load_tokenizer,
    save_generation,
)
from mxqvae.pretrained import save_pretrained
from mxqvae.prior.reader import CaptionReader, CodedPairs, ReadingPrior
from mxqvae.prior.transformer import Prior
from mxqvae.progress import Progress
from mxqvae.recipes.recipe import Recipe
from mxqvae.recipes.trained_by import save_recipe_name
from mxqvae.training.loop import TrainingConfig, train, within_epochs
from mxqvae.training.processes import companions, num_processes, process_rank, wait_for_all

VALIDATED_AT_A_TIME = 64
NUM_PICTURED = 8
_PICTURED = CompletionConfig(num_images=1, num_rounds=1)
"""Pictures show what a reader makes the prior draw, not the best of many draws."""


def train_autoencoder(
    recipe: Recipe, data: Path, out: Path, seed: int | None = None, *, progress: Progress | None = None
) -> float:
    """Train stage 1 on the training split of `data`; resumes an interrupted run in `out`.

    Returns:
        Seconds of training, earlier sessions included.

    Raises:
        MxqvaeError: A data set or an `out` that does not fit, or a perceptual loss without its package.
    """
    check_model_folder(out)
    pairs = PairDataset.from_parquet(data, "train")
    tokenizer = tokenizer_of(data, pairs.captions, recipe.caption_length)
    token_ids = tokenizer.encode(pairs.captions)
    training = _fitted(recipe.autoencoder_training, len(pairs), recipe.max_epochs, seed, progress)
    torch.manual_seed(training.seed)
    config = recipe.autoencoder_for(pairs.shape(tokenizer))
    if config.perceptual_weight:
        feature_stages(find_device())  # what it lacks is said once, before companions start
    model = build_autoencoder(config)
    run = out / "runs" / "autoencoder"

    def batch_of(rows: Tensor) -> PairBatch:
        images = pairs.images_of(rows)
        images = mirror_half(images) if recipe.horizontal_flip else images
        return PairBatch(warp(images, recipe.warping) if recipe.warping else images, token_ids[rows])

    def picture(step: int) -> None:
        sheet = _reconstruction_sheet(model, tokenizer, pairs)
        write_picture(run / f"reconstructions-{step:07d}.png", sheet)

    learned_from = pairs.digest() + "mirrored" * recipe.horizontal_flip
    if recipe.warping is not None:
        learned_from += to_json(recipe.warping)
    with companions(recipe.num_processes, train_autoencoder, recipe, data, out, seed):
        seconds = train(
            model,
            batch_of,
            len(pairs),
            training,
            run,
            identity=_identity(config, training, learned_from),
            description="train autoencoder",
            progress=progress,
            on_checkpoint=picture,
        )
    if process_rank() == 0:
        tokenizer.save(out / TOKENIZER_FILE)
        save_pretrained(out / "autoencoder", config, model)
        save_recipe_name(out, recipe.name)
    wait_for_all()
    return seconds


def derive_autoencoder(recipe: Recipe, source: Path, out: Path) -> None:
    """Make stage 1 of `recipe` in `out` from the trained parts in the model folder `source`.

    Raises:
        MxqvaeError: No stage 1 in `source`, or one without the parts that the recipe asks for.
    """
    check_model_folder(out)
    trained, tokenizer = load_autoencoder(source / "autoencoder"), load_tokenizer(source)
    if not isinstance(trained, ConcatenatedAutoencoder):
        raise MxqvaeError(f"stage 1 in {source} is joint and has no parts to take; train it anew")
    shape = PairShape(tokenizer.vocab_size, tokenizer.max_length, trained.config.image_size)
    config = recipe.autoencoder_for(shape)
    if not isinstance(config, ConcatenatedConfig):
        raise MxqvaeError("stage 1 of this recipe is joint and cannot be made of parts; train it")
    arranged = arrange(trained, config)
    (out / "runs").mkdir(parents=True, exist_ok=True)  # marks the folder as a model in the making
    tokenizer.save(out / TOKENIZER_FILE)
    save_pretrained(out / "autoencoder", config, arranged)
    save_recipe_name(out, recipe.name)


def train_prior(
    recipe: Recipe, data: Path, out: Path, seed: int | None = None, *, progress: Progress | None = None
) -> float:
    """Train stage 2 on the codes that the autoencoder in `out` gives the training split of `data`; resumes.

    Returns:
        Seconds of training, earlier sessions included, code extraction not.

    Raises:
        MxqvaeError: No autoencoder in `out`, or a data set that does not fit it.
    """
    autoencoder, tokenizer = load_autoencoder(out / "autoencoder"), load_tokenizer(out)
    run = out / "runs" / "prior"
    learned, held_out = training_codes(recipe, data, out, autoencoder, tokenizer, progress)
    indices = learned.indices
    max_epochs = _max_epochs_of_codes(recipe, held_out)
    training = _fitted(recipe.prior_training, len(indices), max_epochs, seed, progress)
    torch.manual_seed(training.seed)
    config = recipe.prior(autoencoder.config)
    model = Prior(config)
    # A prior that has hardly learned anything draws nothing that fits: its pictures show what it draws.
    generator = PairGenerator(tokenizer, autoencoder, model, recipe.generation.without_redraws())
    generator.sample(
        1, generation=recipe.generation
    )  # draws nothing, but refuses a recipe of another stage 1

    def picture(step: int) -> None:
        sampled = next(generator.sample(2 * NUM_PICTURED))
        sheet = contact_sheet(sampled.images, sampled.captions, columns=NUM_PICTURED)
        write_picture(run / f"samples-{step:07d}.png", sheet)

    with companions(recipe.num_processes, train_prior, recipe, data, out, seed):
        seconds = train(
            model,
            lambda rows: indices[rows],
            len(indices),
            training,
            run,
            identity=_identity(config, training, _digest(indices)),
            description="train prior",
            progress=progress,
            on_checkpoint=picture,
            held_out=[batch.indices for batch in _in_batches(held_out)],
        )
    if process_rank() == 0:
        save_pretrained(out / "prior", config, model)
        save_generation(out, recipe.generation)
    wait_for_all()
    return seconds


def train_reader(
    recipe: Recipe, data: Path, out: Path, seed: int | None = None, *, progress: Progress | None = None
) -> float:
    """Train the reader of the prior in `out`, which stays as it is, on the training split of `data`; resumes.

    Returns:
        Seconds of training, earlier sessions included, code extraction not.

    Raises:
        MxqvaeError: A recipe without a reader, no prior in `out`, stages that cannot complete pairs, or a
            data set that does not fit them.
    """
    if recipe.reader is None:
        raise MxqvaeError(
            "this recipe has no reader; give --recipe caption-mnist-cpu, pairs-cpu or photos-cpu"
        )
    autoencoder, tokenizer = load_autoencoder(out / "autoencoder"), load_tokenizer(out)
    prior = load_prior(out / "prior")
    check_completion(PairGenerator(tokenizer, autoencoder, prior))  # what a reader is for
    run = out / "runs" / "reader"
    pairs, held_out = training_codes(recipe, data, out, autoencoder, tokenizer, progress)
    max_epochs = _max_epochs_of_codes(recipe, held_out)
    training = _fitted(recipe.reader.training, len(pairs.indices), max_epochs, seed, progress)
    torch.manual_seed(training.seed)
    config = recipe.reader.config(autoencoder.config, prior.config)
    reader = CaptionReader(config)
    learned_from = _digest(*pairs, *prior.state_dict().values())

    def picture(step: int) -> None:
        token_ids = pairs.token_ids[: 2 * NUM_PICTURED]
        size = autoencoder.config.image_size
        captions_alone = PairBatch(torch.full((len(token_ids), 3, size, size), torch.nan), token_ids)
        reading = PairGenerator(tokenizer, autoencoder, prior, reader=reader)
        found = list(complete(reading, captions_alone, num_answers=1, config=_PICTURED))
        images = to_bytes(torch.cat([answers.pairs.images for answers in found])).numpy()
        sheet = contact_sheet(images, tokenizer.decode(token_ids), columns=NUM_PICTURED)
        write_picture(run / f"images-for-captions-{step:07d}.png", sheet)

    with companions(recipe.num_processes, train_reader, recipe, data, out, seed):
        seconds = train(
            ReadingPrior(prior, reader),
            lambda rows: CodedPairs(pairs.indices[rows], pairs.token_ids[rows]),
            len(pairs.indices),
            training,
            run,
            identity=_identity(config, training, learned_from),
            description="train reader",
            progress=progress,
            on_checkpoint=picture,
            held_out=_in_batches(held_out),
        )
    if process_rank() == 0:
        save_pretrained(out / "reader", config, reader)
    return seconds


def trainers_of(recipe: Recipe) -> dict[str, Callable[..., float]]:
    """What trains each part that a recipe has, by the part's name, in order."""
    reader = {} if recipe.reader is None else {"reader": train_reader}
    return {"autoencoder": train_autoencoder, "prior": train_prior, **reader}


def _in_batches(pairs: CodedPairs) -> list[CodedPairs]:
    rows = torch.arange(len(pairs.indices)).split(VALIDATED_AT_A_TIME)
    return [CodedPairs(pairs.indices[batch], pairs.token_ids[batch]) for batch in rows if len(batch)]


def tokenizer_of(data: Path, captions: Sequence[str], max_length: int | None) -> CaptionTokenizer:
    """The tokenizer that the data set in folder `data` brings; else the words of `captions`."""
    path = data / TOKENIZER_FILE
    if path.is_file():
        return CaptionTokenizer.load(path)
    return CaptionTokenizer.train(captions, max_length)


def _reconstruction_sheet(
    autoencoder: Autoencoder, tokenizer: CaptionTokenizer, pairs: PairDataset
) -> Image.Image:
    """The first whole pairs, above what stage 1 makes of them."""
    whole = pairs.whole()
    shown = whole if len(whole) else pairs
    rows = torch.arange(min(NUM_PICTURED, len(shown)))
    captions = [shown.captions[row] for row in rows]
    batch = PairBatch(shown.images_of(rows), tokenizer.encode(captions))
    decoded = autoencoder.decode(autoencoder.encode(batch))
    images = to_bytes(torch.cat([batch.images.nan_to_num(nan=0.5), decoded.images]))
    captions += tokenizer.decode(decoded.token_ids)
    return contact_sheet(images.numpy(), captions, columns=len(rows))


def _fitted(
    training: TrainingConfig, num: int, max_epochs: int | None, seed: int | None, progress: Progress | None
) -> TrainingConfig:
    """The training of a stage with the seed asked for, in no more steps than the pairs can use."""
    if seed is not None:
        training = changed(training, "training", seed=seed)
    return training if max_epochs is None else within_epochs(training, num, max_epochs, progress)


def _max_epochs_of_codes(recipe: Recipe, held_out: CodedPairs) -> int | None:
    return recipe.max_epochs_of_codes if len(held_out.indices) else recipe.max_epochs


def _identity(config: Any, training: TrainingConfig, data: str) -> str:
    """What a checkpoint belongs to: the settings, the processes now at work, and the data."""
    settings = {"model": to_tree(config), "training": to_tree(training), "processes": num_processes()}
    return json.dumps(settings | {"data": data})


def _digest(*tensors: Tensor) -> str:
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.numpy().tobytes())
    return content.hexdigest()


def check_model_folder(out: Path, runs: str = "runs") -> None:
    """Refuse a folder that holds something else than a model in the making, whose runs are in `runs`."""
    if out.exists() and not out.is_dir():
        raise MxqvaeError(f"{out} is not a folder; choose another output folder")
    if out.is_dir() and any(out.iterdir()) and not (out / runs).is_dir():
        raise MxqvaeError(f"{out} has content and no run to resume; choose another output folder")
