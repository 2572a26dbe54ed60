"""Pairs that are held out of training, and the weights that predict them best: those a run keeps.

A model that sees few pairs often learns them by heart; what it has not seen it then predicts worse and worse.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mxqvae.device import to_device
from mxqvae.training.processes import num_processes, process_rank, sum_over_processes

PATIENCE = 10
"""Validations without a better one after which a run stops."""


class Validation:
    """Measures the loss on held-out batches, and remembers the weights with the smallest.

    Attributes:
        best_loss: The smallest loss so far; infinite before the first.
        best_step: The step it was measured at.
        best_weights: The model's state then, on the CPU; empty before the first.
        step: The last step that was measured.
    """

    def __init__(self, batches: Sequence[Any], *, steps_between: int) -> None:
        """Validate on `batches`, each of which is a row of the model's data or a tuple of them.

        Args:
            steps_between: Steps from one measurement to the next.
        """
        self._batches = batches
        self.steps_between = steps_between
        self.best_loss, self.best_step, self.step = torch.inf, 0, 0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether so many measurements brought nothing better that training can stop."""
        return self.step - self.best_step >= PATIENCE * self.steps_between

    @torch.no_grad()
    def measure(self, model: Any, step: int, device: torch.device) -> float:
        """The mean loss of the held-out batches, in eval mode; shared among the processes."""
        was_training = model.training
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in self._batches[process_rank() :: num_processes()]:
            size = len(batch[0]) if isinstance(batch, tuple) else len(batch)
            losses = model.loss(to_device(batch, device))
            sums += torch.tensor([float(losses.total) * size, size], dtype=torch.float64)
        model.train(was_training)
        total, size = sum_over_processes(sums).tolist()
        loss, self.step = total / size, step
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, step
            self.best_weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}
        return loss

    def restore(self, model: nn.Module) -> None:
        """Give `model` the best weights."""
        if self.best_weights:
            model.load_state_dict(self.best_weights)
