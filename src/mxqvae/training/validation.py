"""How well a model predicts pairs that are held out of training.

A model that sees few pairs often learns them by heart, and what it has not seen it then predicts worse and
worse: the log tells from when on. No weights are chosen by it, see docs/emoji.md.
"""

from collections.abc import Sequence
from typing import Any

import torch

from mxqvae.device import to_device
from mxqvae.training.processes import num_processes, process_rank, sum_over_processes


@torch.no_grad()
def held_out_loss(model: Any, batches: Sequence[Any], device: torch.device) -> float:
    """The mean loss of held-out batches, in eval mode; all processes share the work.

    Args:
        model: A `Trainable` module on `device`; it stays in the mode it is in.
        batches: Tensors, or tuples of them, whose rows are pairs.
    """
    was_training = model.training
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for batch in batches[process_rank() :: num_processes()]:
        size = len(batch[0]) if isinstance(batch, tuple) else len(batch)
        losses = model.loss(to_device(batch, device))
        sums += torch.stack([losses.total.double() * size, torch.tensor(size, device=device)])
    model.train(was_training)
    total, size = sum_over_processes(sums).tolist()
    return total / size
