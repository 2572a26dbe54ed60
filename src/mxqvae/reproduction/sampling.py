"""Many samples of a model, drawn in parts: sampling that was stopped goes on where it was.

    SAMPLES-parts/00000-00640.safetensors    the pairs of these numbers, their source, the seconds they took

The parts become the sample folder SAMPLES when all are there.
"""

import hashlib
import itertools
import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mxqvae.config import to_json
from mxqvae.device import find_device
from mxqvae.generation.parallel import FEW_SAMPLES, fitting_processes, sampling_on
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator, SampledPairs
from mxqvae.generation.sample_folder import write_sample_folder
from mxqvae.output_file import new_output_file
from mxqvae.pretrained import WEIGHTS_FILE
from mxqvae.prior.sampling import BLOCK_SIZE
from mxqvae.progress import Advance, NoProgress, Progress

PART_SIZE = 10 * BLOCK_SIZE
"""Pairs of a part: whole blocks, so that none is drawn twice. A minute on two cores, or less."""


def sample_in_parts(
    model: Path,
    out: Path,
    *,
    num: int,
    seed: int,
    generation: GenerationConfig,
    progress: Progress = NoProgress(),
) -> float:
    """Write the first `num` samples of `seed` into the folder `out`, in place of what is there.

    Args:
        model: The model folder; parts that other weights have drawn are drawn anew.

    Returns:
        Seconds of sampling, earlier sessions included.

    Raises:
        MxqvaeError: Weights that are missing or damaged, or that cannot draw so; or, of many samples, a
            process that was killed or, in a script without `if __name__ == "__main__":`, could not begin.
        KeyboardInterrupt: Complete parts are kept.
    """
    generator = PairGenerator.from_pretrained(model).to(find_device())
    generator.generation = generation
    folder, source = out.with_name(f"{out.name}-parts"), _source(model, seed, generation)
    numbers = [range(first, min(first + PART_SIZE, num)) for first in range(0, num, PART_SIZE)]
    parts = {
        samples: part
        for samples in numbers
        if (part := _read_part(_path(folder, samples), source)) is not None
    }
    missing = num - sum(map(len, parts))
    with (
        sampling_on(generator, fitting_processes(generator, missing, FEW_SAMPLES)) as draw,
        progress.task("sample", total=num, unit="pairs", done=num - missing) as advance,
    ):
        for is_drawn, run in itertools.groupby(numbers, key=parts.__contains__):
            if is_drawn:
                continue
            missing_parts = list(run)  # all at once, so that no process waits at the end of a part
            first, last = missing_parts[0].start, missing_parts[-1].stop
            batches = draw(last - first, seed=seed, first=first)
            for samples in missing_parts:
                parts[samples] = _next_part(batches, len(samples), advance)
                _write_part(_path(folder, samples), parts[samples], source)
    started = time.monotonic()
    write_sample_folder((parts[samples] for samples in numbers), out, seed=seed, overwrite=True)
    shutil.rmtree(folder)
    return sum(part.seconds for part in parts.values()) + time.monotonic() - started


class _Part(NamedTuple):
    images: Tensor  # (n, H, W, 3) uint8
    captions: list[str]
    seconds: float


def _next_part(batches: Iterator[SampledPairs], num: int, advance: Advance) -> _Part:
    """The next `num` pairs."""
    started = time.monotonic()
    images, captions = [], []
    for batch in itertools.islice(batches, math.ceil(num / BLOCK_SIZE)):
        images.append(torch.from_numpy(batch.images))
        captions += batch.captions
        advance(len(batch.captions))
    return _Part(torch.cat(images), captions, time.monotonic() - started)


def _source(model: Path, seed: int, generation: GenerationConfig) -> str:
    """What samples are drawn from, as a hash."""
    weights = [(model / stage / WEIGHTS_FILE).read_bytes() for stage in ("autoencoder", "prior")]
    return hashlib.sha256(b"".join(weights) + f"{seed} {to_json(generation)}".encode()).hexdigest()


def _path(folder: Path, samples: range) -> Path:
    return folder / f"{samples.start:05d}-{samples.stop:05d}.safetensors"


def _write_part(path: Path, part: _Part, source: str) -> None:
    record = {"source": source, "captions": json.dumps(part.captions), "seconds": str(part.seconds)}
    with new_output_file(path) as partial:
        partial.write_bytes(save({"images": part.images}, metadata=record))


def _read_part(path: Path, source: str) -> _Part | None:
    """The part; None where it is missing, damaged or drawn from something else."""
    with suppress(FileNotFoundError, SafetensorError), safe_open(path, framework="pt") as file:
        record = file.metadata() or {}
        if record.get("source") == source:
            captions = json.loads(record["captions"])
            return _Part(file.get_tensor("images"), captions, float(record["seconds"]))
    return None
