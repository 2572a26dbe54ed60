"""Pairs that are held out of training: how well a model predicts what it has not seen.

A model that sees few pairs often learns them by heart, and what it has not seen it then predicts worse and
worse. `Validation` tells when; `EarlyStopping` acts on it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mxqvae.device import to_device
from mxqvae.training.processes import num_processes, process_rank, sum_over_processes

PATIENCE = 10
"""Measurements without a better one after which a run stops."""


class Validation:
    """Measures the loss on held-out batches, for the log."""

    def __init__(self, batches: Sequence[Any]) -> None:
        """Measure on `batches`, each of which is rows of the model's data or a tuple of them."""
        self._batches = batches

    @property
    def is_over(self) -> bool:
        """Whether training can stop."""
        return False

    @torch.no_grad()
    def measure(self, model: Any, step: int, device: torch.device) -> float:
        """The mean loss of the held-out batches after `step` steps, in eval mode, shared by all processes."""
        was_training = model.training
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in self._batches[process_rank() :: num_processes()]:
            size = len(batch[0]) if isinstance(batch, tuple) else len(batch)
            losses = model.loss(to_device(batch, device))
            sums += torch.tensor([float(losses.total) * size, size], dtype=torch.float64)
        model.train(was_training)
        total, size = sum_over_processes(sums).tolist()
        return total / size

    def finish(self, model: nn.Module) -> str | None:
        """Called once at the end; returns what there is to say."""
        return None


class EarlyStopping(Validation):
    """Ends a run with the weights that predicted the held-out batches best, when that was long ago.

    Attributes:
        best_loss: The smallest loss so far; infinite before the first.
        best_step: The step it was measured at.
        best_weights: The model's state then, on the CPU; empty before the first.
        step: The last step that was measured.
        num_since: Measurements since the best.
    """

    def __init__(self, batches: Sequence[Any]) -> None:
        super().__init__(batches)
        self.best_loss, self.best_step, self.step, self.num_since = torch.inf, 0, 0, 0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        return self.num_since >= PATIENCE

    def measure(self, model: Any, step: int, device: torch.device) -> float:
        loss = super().measure(model, step, device)
        self.step, self.num_since = step, self.num_since + 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.num_since = loss, step, 0
            self.best_weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}
        return loss

    def finish(self, model: nn.Module) -> str | None:
        if not self.best_weights:
            return None
        model.load_state_dict(self.best_weights)
        return (
            f"kept are the weights of step {self.best_step:,} of {self.step:,}, which predicted held-out "
            f"pairs best (loss {self.best_loss:.4f})"
        )
