import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mxqvae.cli.main import main
from mxqvae.data.pairs import PairDataset
from mxqvae.generation.sample_folder import write_sample_folder
from mxqvae.recipes import RECIPES


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `mxqvae` with the given arguments, in this process; gives exit code, output and errors."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture(scope="session", autouse=True)
def short_recipe() -> Iterator[None]:
    """While these tests run there is a recipe `short`: two steps of all that learns, in one process."""
    recipe = RECIPES["caption-mnist-cpu"]
    assert recipe.reader is not None
    training = {"num_steps": 2, "batch_size": 8}
    with pytest.MonkeyPatch.context() as patch:
        short = dataclasses.replace(
            recipe,
            name="short",
            autoencoder_training=dataclasses.replace(recipe.autoencoder_training, **training),
            prior_training=dataclasses.replace(recipe.prior_training, **training),
            reader=dataclasses.replace(
                recipe.reader, training=dataclasses.replace(recipe.reader.training, **training)
            ),
            num_processes=1,
            # After two steps stage 1 finds every pair odd.
            generation=dataclasses.replace(recipe.generation, max_word_bits=20.0, max_caption_code_bits=20.0),
        )
        patch.setitem(RECIPES, "short", short)
        yield


@pytest.fixture(scope="session")
def tiny_model(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder after `short`: all parts, no skill. Shared: tests do not write into it."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    for stage in ("autoencoder", "prior", "reader"):
        assert (
            main(["train", stage, "--recipe", "short", "--data", str(caption_mnist_small), "--out", str(out)])
            == 0
        )
    return out


@pytest.fixture(scope="session")
def test_pairs(caption_mnist_small: Path) -> PairDataset:
    """The test split of the small data set."""
    return PairDataset.from_parquet(caption_mnist_small, "test")


@pytest.fixture(scope="session")
def samples(test_pairs: PairDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test pairs, written as if they had been sampled. Shared: tests do not write into it."""
    folder = tmp_path_factory.mktemp("generated") / "samples"
    write_sample_folder([test_pairs], folder, seed=0)
    return folder
