"""Shares that take turns add up, and one that fails ends the others."""

import threading

import pytest
import torch

from autoreg.workers.turns import take_turns


def add(own: torch.Tensor) -> torch.Tensor:
    return own.sum(0)


def work(value: float, steps: int = 3):
    def run(reduce):
        x, y = torch.full((2,), value), torch.full((1, 2), -value)
        for _ in range(steps):
            reduce([x, y])
        return x.tolist(), y.tolist()

    return run


@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_see_the_sum_at_each_meeting(count):
    total = float(sum(range(count))) * count**2  # every further meeting adds `count` equal values
    assert take_turns([work(float(i)) for i in range(count)], add) == [([total] * 2, [[-total] * 2])] * count


def test_one_works_at_a_time():
    busy = threading.Lock()

    def run(reduce):
        for _ in range(20):
            assert busy.acquire(blocking=False)
            torch.ones(1000).sum()
            busy.release()
            reduce([torch.ones(1)])

    take_turns([run] * 3, add)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_first_failure_is_raised_and_nobody_waits(failing):
    def fail(reduce):
        reduce([torch.ones(2), torch.ones(1, 2)])
        raise ZeroDivisionError("share")

    works = [work(1.0), work(2.0), work(3.0)]
    works[failing] = fail
    with pytest.raises(ZeroDivisionError, match="share"):
        take_turns(works, add)


def test_a_failing_sum_is_raised():
    def broken(own):
        raise ConnectionError("peer")

    with pytest.raises(ConnectionError, match="peer"):
        take_turns([work(1.0), work(2.0)], broken)
