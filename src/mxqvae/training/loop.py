"""One loop for anything with `.loss(batch)`: both stages, and whatever else is a model here.

Batch order, masking and dropout are functions of (seed, step): a resumed run does what it would have done,
but for roundings where it goes on on a GPU or on another machine.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from mxqvae.config import configuration, override
from mxqvae.device import find_device, multiplies_bf16, to_device
from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file
from mxqvae.progress import NoProgress, Progress
from mxqvae.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from mxqvae.training.processes import average_gradients, num_processes, process_rank
from mxqvae.training.validation import held_out_loss


@configuration
class TrainingConfig:
    """How long and how fast a model learns."""

    num_steps: Annotated[int, Field(ge=1)]
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Pairs a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """AdamW's decoupled weight decay (official code)."""
    second_moment_decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """AdamW's beta 2."""
    num_warmup_steps: Annotated[int, Field(ge=0)] = 500
    """Steps of linear warm-up, before a cosine decay to zero."""
    largest_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients of a greater norm are scaled down to it."""
    bf16: bool = True
    """Whether matrix products run in bfloat16 where the machine has instructions for it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the weights, the batch order and the masking."""


def within_epochs(
    training: TrainingConfig, num_pairs: int, max_epochs: int, progress: Progress | None = None
) -> TrainingConfig:
    """`training`, stopped when each pair was seen `max_epochs` times; the warm-up shrinks with the steps.

    Args:
        progress: Is told where that takes fewer steps.
    """
    num_steps = -(-max_epochs * num_pairs // training.batch_size)
    if num_steps >= training.num_steps:
        return training
    (progress or NoProgress()).say(
        f"{num_steps:,} steps in place of {training.num_steps:,}: each of {num_pairs:,} pairs is then seen "
        f"{max_epochs:,} times"
    )
    return _shortened(training, num_steps)


def override_training(training: TrainingConfig, assignments: Sequence[str]) -> TrainingConfig:
    """`override` for a training: with fewer steps the warm-up shrinks, unless it is named as well.

    Raises:
        MxqvaeError: As `override`.
    """
    changed = override(training, assignments)
    named = {assignment.partition("=")[0].strip() for assignment in assignments}
    if changed.num_steps >= training.num_steps or "num_warmup_steps" in named:
        return changed
    return replace(changed, num_warmup_steps=_shortened(training, changed.num_steps).num_warmup_steps)


def _shortened(training: TrainingConfig, num_steps: int) -> TrainingConfig:
    num_warmup_steps = training.num_warmup_steps * num_steps // training.num_steps
    return replace(training, num_steps=num_steps, num_warmup_steps=num_warmup_steps)


class Trainable(Protocol):
    """What the loop asks of a model."""

    def loss(self, batch: Any) -> NamedTuple:
        """Named tensors, `total` among them."""
        ...

    def summarise(self, sums: Any, num_steps: int) -> dict[str, float]:
        """Figures for the log from the losses summed over `num_steps` steps."""
        ...


LOG_EVERY = 50
"""Steps between two lines of the log."""
SECONDS_BETWEEN_CHECKPOINTS = 120.0


def train(
    model: nn.Module,
    batch_of: Callable[[Tensor], Any],
    num_pairs: int,
    config: TrainingConfig,
    folder: Path,
    *,
    identity: str,
    description: str,
    progress: Progress | None = None,
    on_checkpoint: Callable[[int], None] | None = None,
    held_out: Sequence[Any] = (),
) -> float:
    """Train `model` in place; resumes from `folder`'s checkpoint if there is one.

    It trains on the GPU where there is one, and comes back to the CPU.

    Args:
        model: A `Trainable` module, on the CPU.
        batch_of: Makes the batch of the given row numbers (B,) of the data: tensors, or tuples of them.
        num_pairs: Rows of the data.
        folder: Takes `checkpoint.safetensors` and `log.jsonl`.
        identity: What the run is, see `save_checkpoint`.
        description: Name of the job in the progress bar.
        on_checkpoint: Called with the step after each checkpoint, the model on the CPU and in eval mode, to
            draw reconstructions, say.
        held_out: Batches that training never sees: the log tells their loss.

    Returns:
        Seconds spent in training, checkpoints and earlier sessions of a resumed run included.

    Raises:
        MxqvaeError: The folder's checkpoint is damaged or of another run, or the processes cannot share a
            batch equally.
        KeyboardInterrupt: After a checkpoint was written.
    """
    if config.batch_size % num_processes():
        raise MxqvaeError(
            f"batch_size {config.batch_size} does not divide among {num_processes()} processes; "
            f"give a multiple of {num_processes()}"
        )
    writes, device = process_rank() == 0, find_device()
    folder.mkdir(parents=True, exist_ok=True)
    model.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(0.9, config.second_moment_decay),
        weight_decay=config.weight_decay,
        fused=True,
    )
    checkpoint = folder / CHECKPOINT_FILE
    step = load_checkpoint(checkpoint, model, optimizer, identity) if checkpoint.exists() else 0
    log = _Log(folder / "log.jsonl", step, writes, bf16=config.bf16 and multiplies_bf16(device))
    progress = progress if progress and writes else NoProgress()
    if step == config.num_steps:
        progress.say(f"{description}: trained before")
        model.cpu().eval()
        return log.seconds
    model.train()

    def save() -> None:
        if writes:
            save_checkpoint(checkpoint, model, optimizer, step, identity)

    last_save = time.monotonic()
    with progress.task(
        description, total=config.num_steps * config.batch_size, unit="pairs", done=step * config.batch_size
    ) as advance:
        try:
            while step < config.num_steps:
                torch.manual_seed((config.seed * 1_000_003 + step) * num_processes() + process_rank())
                rows = batch_rows(step, num_pairs, config.batch_size, config.seed)
                batch = to_device(batch_of(rows[process_rank() :: num_processes()]), device)
                with _interrupts_held():
                    losses = training_step(model, batch, optimizer, learning_rate(step, config), config)
                    step += 1
                    log.add(losses)
                    if step % LOG_EVERY == 0 or step in (1, config.num_steps):
                        measured = {"held_out": held_out_loss(model, held_out, device)} if held_out else {}
                        log.write(step, model, config.batch_size, measured)
                advance(config.batch_size, f"loss {log.latest:.4f}")
                if time.monotonic() - last_save > SECONDS_BETWEEN_CHECKPOINTS or step == config.num_steps:
                    save()
                    if on_checkpoint is not None and writes:
                        model.cpu().eval()
                        on_checkpoint(step)
                        model.to(device).train()
                    last_save = time.monotonic()  # not before a look that takes longer than the time between
        except KeyboardInterrupt:
            if log.num_steps:
                log.write(step, model, config.batch_size, {})
            save()
            progress.say(f"stopped at step {step}; the same command resumes from {checkpoint}")
            raise
    model.cpu().eval()
    return log.seconds


def training_step(
    model: Any, batch: Any, optimizer: torch.optim.Optimizer, rate: float, config: TrainingConfig
) -> NamedTuple:
    """One optimiser step at learning rate `rate`; returns the batch's losses."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    device = next(model.parameters()).device
    bf16 = config.bf16 and multiplies_bf16(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        losses = model.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    average_gradients(model)
    nn.utils.clip_grad_norm_(model.parameters(), config.largest_gradient_norm)
    optimizer.step()
    return losses


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then cosine decay, which would reach zero after the last step."""
    if step < config.num_warmup_steps:
        return config.learning_rate * (step + 1) / config.num_warmup_steps
    past = (step - config.num_warmup_steps) / max(1, config.num_steps - config.num_warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * past))


def batch_rows(step: int, num_pairs: int, batch_size: int, seed: int) -> Tensor:
    """Row numbers (B,) of step `step`: each epoch is a fresh permutation, batches run across its end."""
    first = step * batch_size
    rows = []
    while len(rows) < batch_size:
        epoch, offset = divmod(first + len(rows), num_pairs)
        rows += _permutation(num_pairs, seed, epoch)[offset : offset + batch_size - len(rows)].tolist()
    return torch.tensor(rows)


_permutations: dict[tuple[int, int, int], Tensor] = {}


def _permutation(num_pairs: int, seed: int, epoch: int) -> Tensor:
    key = (num_pairs, seed, epoch)
    if key not in _permutations:
        if len(_permutations) > 2:
            _permutations.clear()
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        _permutations[key] = torch.randperm(num_pairs, generator=generator)
    return _permutations[key]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: half a step, saved, would not resume exactly."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C interrupts the main thread only
        return
    held: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        signal.raise_signal(signal.SIGINT)


class _Log:
    """Sums losses between lines of a JSONL file; a resumed run drops the lines past its checkpoint.

    Of several processes, the first one writes, and its losses are those of its own share of the batches. Each
    line says whether products ran in bfloat16 (1) or not (0): a run may be resumed on another machine.
    """

    def __init__(self, path: Path, step: int, writes: bool, *, bf16: bool) -> None:
        self.path, self.writes, self.bf16 = path, writes, bf16
        kept = [line for line in _read_log(path) if line["step"] <= step]
        if writes:
            with new_output_file(path) as partial:
                partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.seconds = float(kept[-1]["seconds"]) if kept else 0.0
        self.sums: list[Tensor] | None = None
        self.kind: Any = None
        self.num_steps, self.latest = 0, float(kept[-1]["total"]) if kept else math.nan
        self.since = time.monotonic()

    def add(self, losses: Any) -> None:
        values = [value.detach() for value in losses]
        self.sums = values if self.sums is None else [a + b for a, b in zip(self.sums, values, strict=True)]
        self.kind, self.num_steps = type(losses), self.num_steps + 1

    def write(self, step: int, model: Any, batch_size: int, measured: Mapping[str, float]) -> None:
        assert self.sums is not None
        elapsed = time.monotonic() - self.since
        self.seconds += elapsed
        figures = model.summarise(self.kind(*self.sums), self.num_steps)
        self.latest = figures["total"]
        rate = self.num_steps * batch_size / elapsed
        line = {"step": step, "seconds": round(self.seconds, 1), "pairs_per_second": round(rate, 1)}
        line |= {"bf16": int(self.bf16), **figures, **measured}
        if self.writes:
            with self.path.open("a") as file:
                file.write(json.dumps({key: round(value, 6) for key, value in line.items()}) + "\n")
        self.sums, self.num_steps, self.since = None, 0, time.monotonic()


def _read_log(path: Path) -> Iterator[dict[str, float]]:
    """The lines of a log, up to one that a crash left incomplete."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
