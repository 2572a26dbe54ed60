import os
from collections.abc import Iterator

import pytest
import torch

from mxqvae.errors import MxqvaeError
from mxqvae.process_pool import ProcessPool


def add(given: torch.Tensor, number: int) -> torch.Tensor:
    return given + number


def num_threads_beside(given: torch.Tensor, nothing: None) -> int:
    return torch.get_num_threads()


def end(number: int) -> int:
    os._exit(1)


def test_results_come_in_the_order_of_the_work_a_few_at_a_time():
    taken = []

    def work() -> Iterator[tuple[str, int]]:
        for number in range(20):
            taken.append(number)
            yield f"{number}", number

    with ProcessPool(2, "counts", torch.tensor(100)) as pool:
        results = pool.map(add, work(), num_waiting=3)
        assert next(results) == ("0", 100)
        assert taken == [0, 1, 2]
        assert list(results) == [(f"{number}", 100 + number) for number in range(1, 20)]
        assert list(pool.map(num_threads_beside, [(None, None)], num_waiting=1)) == [(None, 1)]
        assert list(pool.map(add, [("again", 1)], num_waiting=3)) == [("again", 101)]


def test_a_process_that_is_killed_is_told():
    with ProcessPool(2, "counts") as pool, pytest.raises(MxqvaeError) as refusal:
        list(pool.map(end, [(None, 1)], num_waiting=2))
    assert str(refusal.value) == (
        "a process that counts was killed, for want of memory perhaps; try --processes 1"
    )
