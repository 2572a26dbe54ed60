import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from mxqvae.generation import sample_folder
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator, SampledPairs
from mxqvae.generation.sample_folder import write_sample_folder
from mxqvae.reproduction import sampling
from mxqvae.reproduction.sampling import sample_in_parts

GENERATION = GenerationConfig()
NUM = 130


@pytest.fixture
def model(tiny_generator: PairGenerator, tmp_path: Path) -> Path:
    """The folder of a tiny model."""
    tiny_generator.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the first samples of the batches that were drawn: parts of 64 pairs, a second each."""
    ticks = itertools.count()
    monkeypatch.setattr(sampling, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    numbers = []
    original = PairGenerator.sample

    def sample(self: PairGenerator, num: int, *, first: int, **options: Any) -> Iterator[SampledPairs]:
        for batch in original(self, num, first=first, **options):
            numbers.append(first)
            first += len(batch.captions)
            yield batch

    monkeypatch.setattr(sampling, "PART_SIZE", 64)
    monkeypatch.setattr(sample_folder, "contact_sheet", lambda *pairs: Image.new("RGB", (1, 1)))
    monkeypatch.setattr(PairGenerator, "sample", sample)
    return numbers


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_after(num_batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C come when so many batches were drawn."""
    whole = sampling.PairGenerator.sample
    left = iter(range(num_batches))

    def sample(self: PairGenerator, *arguments: Any, **options: Any) -> Iterator[SampledPairs]:
        for batch in whole(self, *arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(PairGenerator, "sample", sample)


def test_parts_make_the_folder_that_sampling_at_once_makes(model: Path, tmp_path: Path, drawn: list[int]):
    batches = PairGenerator.from_pretrained(model).sample(NUM, seed=3, first=0, generation=GENERATION)
    write_sample_folder(batches, tmp_path / "at-once", seed=3)
    drawn.clear()
    seconds = sample_in_parts(model, tmp_path / "samples", num=NUM, seed=3, generation=GENERATION)
    assert drawn == [0, 64, 128]
    assert content(tmp_path / "samples") == content(tmp_path / "at-once")
    assert seconds == 4
    assert {path.name for path in tmp_path.iterdir()} == {"model", "at-once", "samples"}


def test_sampling_that_was_stopped_goes_on_with_the_next_part(
    model: Path, tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "samples"
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            sample_in_parts(model, out, num=NUM, seed=3, generation=GENERATION)
    assert drawn == [0, 64]
    assert not out.exists()
    drawn.clear()
    seconds = sample_in_parts(model, out, num=NUM, seed=3, generation=GENERATION)
    assert drawn == [64, 128]
    assert seconds == 4  # the part of the first session, two more, and putting them together
    assert len(content(out)) == NUM + 2


@pytest.mark.parametrize("change", ["seed", "generation", "weights", "damage"])
def test_parts_of_something_else_are_drawn_anew(
    model: Path, tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch, change: str
):
    out = tmp_path / "samples"
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            sample_in_parts(model, out, num=NUM, seed=3, generation=GENERATION)
    seed, generation = 3, GENERATION
    match change:
        case "seed":
            seed = 4
        case "generation":
            generation = GenerationConfig(num_refinements=1)
        case "weights":
            generator = PairGenerator.from_pretrained(model)
            generator.prior.head.weight.data += 1
            generator.save_pretrained(model)
        case "damage":
            (tmp_path / "samples-parts" / "00000-00064.safetensors").write_bytes(b"damaged")
    drawn.clear()
    sample_in_parts(model, out, num=NUM, seed=seed, generation=generation)
    assert drawn == [0, 64, 128]
