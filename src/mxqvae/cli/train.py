"""`mxqvae train`: both stages, the reader, and what measures them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import Changes, IntOrNone, PathOrNone, TextOrNone, asks_for_steps, trains_with
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.progress import Progress
    from mxqvae.recipes import Recipe


def autoencoder(
    *, data: Path, out: Path, recipe: TextOrNone = None, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train stage 1: pairs to codes and back. Ctrl-C keeps a checkpoint, the same command goes on from it.

    Args:
        data: Folder of the data set, such as `mxqvae data` builds.
        out: Model folder to write; checkpoint, log and pictures are in its runs/autoencoder.
        recipe: photos-cpu for photos (it mirrors half of the images) or, against blur, photos-cpu-perceptual;
            pairs-cpu for drawings and signs; photos-cpu-audit or pairs-cpu-audit for an audit; `mxqvae train
            recipes` lists all. Without it, caption-mnist-cpu for Caption MNIST and pairs-cpu for other pairs.
        seed: Seed of the weights, the batch order and the masking; without it, the recipe's.
        changes: Another value for a field of the training: num_steps=100 (then taken however few the pairs,
            with a warm-up that shrinks with them), batch_size, learning_rate and others.
    """
    trains_with(seed)

    from mxqvae.progress import format_duration, progress_on
    from mxqvae.stages import train_autoencoder

    progress = progress_on()
    chosen = _with_autoencoder_changed(_find_recipe(data, recipe, progress), changes)
    seconds = train_autoencoder(chosen, data, out, seed=seed, progress=progress)
    print(f"autoencoder, trained in {format_duration(seconds)}: {out}")
    print(f"Next: mxqvae train prior --data {data} --out {out}, or mxqvae audit PAIRS --weights {out}")


def prior(
    *, data: Path, out: Path, recipe: TextOrNone = None, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train stage 2: the prior over the codes that stage 1 gives the data. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set to learn from: that of stage 1, or more such pairs of the same size.
        out: Model folder with a trained stage 1; checkpoint, log and pictures are in its runs/prior.
        recipe: Without it, the one by which stage 1 was trained; where the folder does not say, the default
            for the data set.
        seed: Seed of the weights and the batch order; without it, the recipe's.
        changes: Another value for a field of the training: num_steps=100 (then taken however few the pairs,
            with a warm-up that shrinks with them), batch_size, learning_rate and others.
    """
    trains_with(seed)

    from mxqvae.progress import format_duration, progress_on
    from mxqvae.stages import train_prior

    progress = progress_on()
    chosen = _with_prior_changed(_find_recipe(data, recipe, progress, out), changes)
    seconds = train_prior(chosen, data, out, seed=seed, progress=progress)
    print(f"prior, trained in {format_duration(seconds)}: {out}")
    print(f"Next: mxqvae sample --weights {out} --out SAMPLES")


def reader(
    *, data: Path, out: Path, recipe: TextOrNone = None, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train the reader, which lets the prior draw images for captions; both stages stay as they are.

    Ctrl-C keeps a checkpoint, the same command goes on from it.

    Args:
        data: Folder of the data set to learn from: that of the prior, or more such pairs of the same size.
        out: Model folder with both stages trained; checkpoint, log and pictures are in its runs/reader.
        recipe: Without it, the one by which stage 1 was trained; where the folder does not say, the default
            for the data set.
        seed: Seed of the weights, the batch order and the hidden words; without it, the recipe's.
        changes: Another value for a field of the training: num_steps=100 (then taken however few the pairs,
            with a warm-up that shrinks with them), batch_size, learning_rate and others.
    """
    trains_with(seed)

    from mxqvae.progress import format_duration, progress_on
    from mxqvae.stages import train_reader

    progress = progress_on()
    chosen = _with_reader_changed(_find_recipe(data, recipe, progress, out), changes)
    seconds = train_reader(chosen, data, out, seed=seed, progress=progress)
    print(f"reader, trained in {format_duration(seconds)}: {out}")


def pairs(
    *, data: Path, out: Path, recipe: TextOrNone = None, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train all parts of a model: stage 1, stage 2 and, where the recipe has one, a reader.

    Takes two to four hours on two cores with bfloat16 at 64 pixels, less of few pairs. Ctrl-C keeps a
    checkpoint, the same command goes on from it; parts that are done stay as they are.

    Args:
        data: Folder of the data set, such as `mxqvae data` builds.
        out: Model folder to write, for `mxqvae sample`; checkpoints, logs and pictures are in its runs.
        recipe: photos-cpu for photos (it mirrors half of the images) or, against blur, photos-cpu-perceptual;
            pairs-cpu for drawings and signs; photos-cpu-audit or pairs-cpu-audit for an audit; `mxqvae train
            recipes` lists all. Without it, that of a stage 1 that is there already, else caption-mnist-cpu
            for Caption MNIST and pairs-cpu for other pairs.
        seed: Seed of the weights, the batch order and the masking; without it, the recipe's.
        changes: Another value for a field of the training of every part: num_steps=100 (then taken however
            few the pairs, with a warm-up that shrinks with them), batch_size, learning_rate and others.
    """
    trains_with(seed)

    from mxqvae.progress import format_duration, progress_on
    from mxqvae.stages import trainers_of

    progress = progress_on()
    chosen = _find_recipe(data, recipe, progress, out)
    for with_part_changed in (_with_autoencoder_changed, _with_prior_changed, _with_reader_changed):
        chosen = with_part_changed(chosen, changes)
    for part, train in trainers_of(chosen).items():
        seconds = train(chosen, data, out, seed=seed, progress=progress)
        print(f"{part}, trained in {format_duration(seconds)}: {out}")
    print(f"Next: mxqvae sample --weights {out} --out SAMPLES")


def recipes() -> None:
    """List the recipes that `--recipe` takes, and what each is for."""
    from mxqvae.recipes import RECIPES

    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:<{width}}  {recipe.description}")


def joint_gan(
    *, data: Path, out: Path, recipe: TextOrNone = None, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train the baseline Joint GAN + MMVAE of Table 3, as we reconstruct it. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set, such as `mxqvae data` builds.
        out: Model folder to write, for `mxqvae sample`; checkpoints, logs and pictures are in its runs.
        recipe: Recipe of the model that it stands beside; where that mirrors images, as photos-cpu does, so
            does this training. Without it, the default for the data set.
        seed: Seed of the weights, the batch order and the noise.
        changes: Another value for a field of both parts' training, such as num_steps=100.
    """
    trains_with(seed)

    from mxqvae.baselines.latent_pairs import LatentPairsTraining, train_latent_pairs, with_seed
    from mxqvae.progress import format_duration, progress_on
    from mxqvae.training.loop import override_training

    progress = progress_on()
    mirrors = _find_recipe(data, recipe, progress).horizontal_flip
    training = LatentPairsTraining(horizontal_flip=mirrors)
    mmvae, gan = (override_training(part, changes) for part in (training.mmvae, training.joint_gan))
    training = dataclasses.replace(training, mmvae=mmvae, joint_gan=gan)
    training = training if seed is None else with_seed(training, seed)
    seconds = train_latent_pairs(data, out, training, progress=progress)
    print(f"Joint GAN + MMVAE, trained in {format_duration(seconds)}: {out}")


def contrastive(*, data: Path, out: Path, seed: IntOrNone = None, changes: Changes = ()) -> None:
    """Train a joint embedding on training pairs, never on samples. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set.
        out: Folder to write; checkpoint and log are in its run.
        seed: Seed of the weights, the batch order and the shifts of images.
        changes: Another value for a field of the training: num_steps=100 (then taken however few the pairs,
            with a warm-up that shrinks with them), batch_size, learning_rate and others.
    """
    trains_with(seed)

    from mxqvae.config import changed
    from mxqvae.data.pairs import PairDataset
    from mxqvae.evaluation.contrastive_training import MAX_EPOCHS, TRAINING, train_contrastive
    from mxqvae.progress import progress_on
    from mxqvae.stages import check_model_folder
    from mxqvae.training.loop import override_training

    run = out / "run"
    check_model_folder(out, run.name)
    training = override_training(TRAINING, changes)
    training = training if seed is None else changed(training, "training", seed=seed)
    embedding = train_contrastive(
        PairDataset.from_parquet(data, "train"),
        training,
        run,
        max_epochs=None if asks_for_steps(changes) else MAX_EPOCHS,
        progress=progress_on(),
    )
    embedding.save_pretrained(out)
    print(f"joint embedding, trained in {embedding.model.config.training.num_steps:,} steps: {out}")


def judge(*, out: Path, mnist: PathOrNone = None, seed: IntOrNone = None, changes: Changes = ()) -> None:
    """Train the judge on MNIST's training digits, never on samples. Ctrl-C keeps a checkpoint.

    Args:
        out: Folder to write; checkpoint and log are in its run.
        mnist: Folder with the four MNIST files; without it, that of $MXQVAE_MNIST, the cache or a download.
        seed: Seed of the weights, the batch order and the warps.
        changes: Another value for a field of the training, such as num_steps=100, with which the warm-up
            shrinks.
    """
    trains_with(seed)

    from mxqvae.config import changed
    from mxqvae.data.mnist import load_mnist
    from mxqvae.evaluation.judge import JudgeConfig
    from mxqvae.evaluation.judge_training import train_judge
    from mxqvae.progress import format_duration, progress_on
    from mxqvae.stages import check_model_folder
    from mxqvae.training.loop import override_training

    run = out / "run"
    check_model_folder(out, run.name)
    training = override_training(JudgeConfig().training, changes)
    training = training if seed is None else changed(training, "training", seed=seed)
    config = dataclasses.replace(JudgeConfig(), training=training)
    trained = train_judge(load_mnist(mnist), config, run, progress=progress_on())
    trained.save_pretrained(out)
    record = trained.record
    print(
        f"judge, {record.test_accuracy:.2%} of test digits right, "
        f"trained in {format_duration(record.training_seconds)}: {out}"
    )


def _find_recipe(data: Path, name: str | None, progress: "Progress", model: Path | None = None) -> "Recipe":
    """The recipe asked for, else that of stage 1 in `model`, else the default of the data set; says which."""
    from mxqvae.recipes import find_recipe, fitting_recipe
    from mxqvae.recipes.trained_by import RECIPE_FILE, recipe_name_of

    trained_by = None if name is not None or model is None else recipe_name_of(model)
    try:
        fitting = fitting_recipe(data, name or trained_by)
    except MxqvaeError as error:
        if model is None or trained_by is None:
            raise
        raise MxqvaeError(f"{model / RECIPE_FILE}: {error}, by --recipe, or another --out") from None
    if trained_by is not None:
        progress.say(f"recipe {fitting}, by which stage 1 in {model} was trained; --recipe takes another")
    elif name is None and (data / "data").is_dir():  # else there is no data set, which is said soon
        progress.say(f"recipe {fitting}, the default for this data set; --recipe takes another")
    return find_recipe(fitting)


def _with_autoencoder_changed(recipe: "Recipe", changes: tuple[str, ...]) -> "Recipe":
    """The recipe with other values in the training of stage 1."""
    from mxqvae.training.loop import override_training

    training = override_training(recipe.autoencoder_training, changes)
    return dataclasses.replace(recipe, autoencoder_training=training, **_bounds_lifted(changes))


def _with_prior_changed(recipe: "Recipe", changes: tuple[str, ...]) -> "Recipe":
    """The recipe with other values in the training of stage 2."""
    from mxqvae.training.loop import override_training

    training = override_training(recipe.prior_training, changes)
    return dataclasses.replace(recipe, prior_training=training, **_bounds_lifted(changes))


def _with_reader_changed(recipe: "Recipe", changes: tuple[str, ...]) -> "Recipe":
    """The recipe with other values in the training of its reader, where it has one."""
    from mxqvae.training.loop import override_training

    if recipe.reader is None:
        return recipe
    training = override_training(recipe.reader.training, changes)
    reader = dataclasses.replace(recipe.reader, training=training)
    return dataclasses.replace(recipe, reader=reader, **_bounds_lifted(changes))


def _bounds_lifted(changes: tuple[str, ...]) -> dict[str, None]:
    """The recipe's bounds on how often a pair is seen, none of which holds for steps that were asked for."""
    return {"max_epochs": None, "max_epochs_of_codes": None} if asks_for_steps(changes) else {}
