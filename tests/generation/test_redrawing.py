from collections.abc import Callable

import torch
from torch import Tensor

from mxqvae.generation.redrawing import NUM_ATTEMPTS, NUM_TOGETHER, DrawnPairs, redraw_misfits


def drawn_of(bits: Tensor) -> DrawnPairs:
    """Pairs that fit as badly as their first word says."""
    return DrawnPairs(bits[:, None].long(), bits[:, None, None, None].float(), bits[:, None].long())


def misfit_over(bound: float) -> Callable[[DrawnPairs], Tensor]:
    return lambda pairs: pairs.token_ids[:, 0].double() / bound


class Redraws:
    """Draws whose misfits fall by one with each attempt."""

    def __init__(self, start: Tensor) -> None:
        self.start = start
        self.calls: list[tuple[list[int], int]] = []

    def __call__(self, rows: Tensor, attempt: int) -> DrawnPairs:
        self.calls.append((rows.tolist(), attempt))
        return drawn_of(self.start[rows] - attempt)


def redrawn(start: Tensor, bound: float) -> tuple[list[int], list[tuple[list[int], int]]]:
    draws = Redraws(start)
    done = redraw_misfits(drawn_of(start), misfit=misfit_over(bound), draw_again=draws)
    assert done.token_ids.equal(done.indices)
    assert done.images[:, 0, 0, 0].long().equal(done.indices[:, 0])
    return done.indices[:, 0].tolist(), draws.calls


def test_only_pairs_above_the_bound_are_drawn_until_they_are_not():
    bits, calls = redrawn(torch.tensor([5, 2, 3, 4, 1]), 3.0)
    assert bits == [3, 2, 3, 3, 1]
    assert [(set(rows), attempt) for rows, attempt in calls] == [({0, 3}, 1), ({0}, 2)]


def test_all_are_drawn_in_the_same_number():
    start = torch.arange(2 * NUM_TOGETHER + 3)
    bits, calls = redrawn(start, 0.5)
    assert {len(rows) for rows, _ in calls} == {NUM_TOGETHER}
    assert max(attempt for _, attempt in calls) == NUM_ATTEMPTS - 1
    assert bits == [max(0, bit - NUM_ATTEMPTS + 1) for bit in start.tolist()]


def test_a_worse_draw_is_not_taken():
    start = torch.tensor([9, 8])
    worse = redraw_misfits(
        drawn_of(start),
        misfit=misfit_over(1.0),
        draw_again=lambda rows, attempt: drawn_of(start[rows] + attempt),
    )
    assert worse.indices[:, 0].tolist() == [9, 8]


def test_what_was_given_stays_as_it_was():
    drawn = drawn_of(torch.tensor([9, 0]))
    redraw_misfits(drawn, misfit=misfit_over(1.0), draw_again=Redraws(torch.tensor([9, 0])))
    assert drawn.indices[:, 0].tolist() == [9, 0]


def test_nothing_is_drawn_where_all_pairs_fit():
    assert redrawn(torch.tensor([1, 2]), 2.0)[1] == []
