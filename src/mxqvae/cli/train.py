"""`mxqvae train`: both stages, the reader, and the judge."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from mxqvae.cli.arguments import IntOrNone, PathOrNone, at_least

Changes = Annotated[
    tuple[str, ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
]

DEFAULT_RECIPE = "caption-mnist-cpu"


def autoencoder(
    *, data: Path, out: Path, recipe: str = DEFAULT_RECIPE, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train stage 1: pairs to codes and back. Ctrl-C keeps a checkpoint, the same command goes on from it.

    Args:
        data: Folder of the data set, such as `mxqvae data` builds.
        out: Model folder to write; checkpoint, log and pictures are in its runs/autoencoder.
        recipe: Name of the run, see `mxqvae.recipes`.
        seed: Seed of the weights, the batch order and the masking; without it, the recipe's.
        changes: Another value for a field of the recipe's training, such as num_steps=100.
    """
    at_least(0, seed=seed)

    from mxqvae.config import override
    from mxqvae.progress import format_duration, progress_on
    from mxqvae.recipes import find_recipe
    from mxqvae.stages import train_autoencoder

    chosen = find_recipe(recipe)
    training = override(chosen.autoencoder_training, changes)
    chosen = dataclasses.replace(chosen, autoencoder_training=training)
    seconds = train_autoencoder(chosen, data, out, seed=seed, progress=progress_on())
    print(f"autoencoder, trained in {format_duration(seconds)}: {out}")


def prior(
    *, data: Path, out: Path, recipe: str = DEFAULT_RECIPE, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train stage 2: the prior over the codes that stage 1 gives the data. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set that stage 1 was trained on.
        out: Model folder with a trained stage 1; checkpoint, log and pictures are in its runs/prior.
        recipe: Name of the run, see `mxqvae.recipes`.
        seed: Seed of the weights and the batch order; without it, the recipe's.
        changes: Another value for a field of the recipe's training, such as num_steps=100.
    """
    at_least(0, seed=seed)

    from mxqvae.config import override
    from mxqvae.progress import format_duration, progress_on
    from mxqvae.recipes import find_recipe
    from mxqvae.stages import train_prior

    chosen = find_recipe(recipe)
    chosen = dataclasses.replace(chosen, prior_training=override(chosen.prior_training, changes))
    seconds = train_prior(chosen, data, out, seed=seed, progress=progress_on())
    print(f"prior, trained in {format_duration(seconds)}: {out}")


def reader(
    *, data: Path, out: Path, recipe: str = DEFAULT_RECIPE, seed: IntOrNone = None, changes: Changes = ()
) -> None:
    """Train the reader, which lets the prior draw images for captions; both stages stay as they are.

    Ctrl-C keeps a checkpoint, the same command goes on from it.

    Args:
        data: Folder of the data set that the prior was trained on.
        out: Model folder with both stages trained; checkpoint, log and pictures are in its runs/reader.
        recipe: Name of the run, see `mxqvae.recipes`.
        seed: Seed of the weights, the batch order and the hidden words; without it, the recipe's.
        changes: Another value for a field of the recipe's training, such as num_steps=100.
    """
    at_least(0, seed=seed)

    from mxqvae.config import override
    from mxqvae.progress import format_duration, progress_on
    from mxqvae.recipes import find_recipe
    from mxqvae.stages import train_reader

    chosen = find_recipe(recipe)
    if chosen.reader is not None:
        training = override(chosen.reader.training, changes)
        chosen = dataclasses.replace(chosen, reader=dataclasses.replace(chosen.reader, training=training))
    seconds = train_reader(chosen, data, out, seed=seed, progress=progress_on())
    print(f"reader, trained in {format_duration(seconds)}: {out}")


def joint_gan(*, data: Path, out: Path, seed: IntOrNone = None) -> None:
    """Train the baseline JointGAN + MMVAE of Table 3, as we reconstruct it. Ctrl-C keeps a checkpoint.

    Args:
        data: Folder of the data set, such as `mxqvae data` builds.
        out: Model folder to write, for `mxqvae sample`; checkpoints, logs and pictures are in its runs.
        seed: Seed of the weights, the batch order and the noise.
    """
    at_least(0, seed=seed)

    from mxqvae.baselines.latent_pairs import LatentPairsTraining, train_latent_pairs, with_seed
    from mxqvae.progress import format_duration, progress_on

    training = LatentPairsTraining() if seed is None else with_seed(LatentPairsTraining(), seed)
    seconds = train_latent_pairs(data, out, training, progress=progress_on())
    print(f"JointGAN + MMVAE, trained in {format_duration(seconds)}: {out}")


def judge(*, out: Path, mnist: PathOrNone = None, seed: IntOrNone = None, changes: Changes = ()) -> None:
    """Train the judge on MNIST's training digits, never on samples. Ctrl-C keeps a checkpoint.

    Args:
        out: Folder to write; checkpoint and log are in its run.
        mnist: Folder with the four MNIST files; without it $MXQVAE_MNIST, the cache, a download.
        seed: Seed of the weights, the batch order and the warps.
        changes: Another value for a field of the training, such as num_steps=100.
    """
    at_least(0, seed=seed)

    from mxqvae.config import override
    from mxqvae.data.mnist import load_mnist
    from mxqvae.evaluation.judge import JudgeConfig
    from mxqvae.evaluation.judge_training import train_judge
    from mxqvae.output_folder import check_output_folder
    from mxqvae.progress import format_duration, progress_on

    run = out / "run"
    if not run.is_dir():
        check_output_folder(out)
    training = override(JudgeConfig().training, changes)
    training = training if seed is None else dataclasses.replace(training, seed=seed)
    config = dataclasses.replace(JudgeConfig(), training=training)
    trained = train_judge(load_mnist(mnist), config, run, progress=progress_on())
    trained.save_pretrained(out)
    record = trained.record
    print(
        f"judge, {record.test_accuracy:.2%} of test digits right, "
        f"trained in {format_duration(record.training_seconds)}: {out}"
    )
