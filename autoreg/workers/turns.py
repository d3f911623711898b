"""Several shares of a batch in one process: they take turns, and meet wherever sums over all shares are needed."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from autoreg.trilevel.levels import Reduce

Sum = Callable[[Tensor], Tensor]
"""(own shares, n) -> (n,): the sum over the shares of all workers."""

T = TypeVar("T")


def take_turns(works: Sequence[Callable[[Reduce], T]], sum_: Sum) -> list[T]:
    """Results of all works. Each gets a `Reduce`; all must call it equally often.

    One works at a time, up to the next sum, so the memory of one share's graph is enough.

    Raises:
        Whatever the first work to fail raised.
    """
    meeting = _Meeting(len(works), sum_)
    if len(works) == 1:
        return [works[0](lambda tensors: meeting.reduce(0, tensors))]
    threads = torch.get_num_threads()

    def run(index: int) -> T:
        torch.set_num_threads(threads)  # OpenMP keeps it by thread
        with meeting.turn:
            try:
                return works[index](lambda tensors: meeting.reduce(index, tensors))
            except BaseException:
                meeting.barrier.abort()
                raise

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(run, index) for index in range(len(works))]
    errors = [error for future in futures if (error := future.exception())]
    if errors:  # those that waited for the one that failed have nothing to say
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return [future.result() for future in futures]


class _Meeting:
    """Where the shares of one worker meet."""

    def __init__(self, count: int, sum_: Sum) -> None:
        self.turn = threading.Lock()
        self.barrier = threading.Barrier(count, action=self._add)
        self._count, self._sum = count, sum_
        self._offers: list[Tensor] = [torch.empty(0)] * count
        self._total = torch.empty(0)

    def reduce(self, index: int, tensors: Sequence[Tensor]) -> None:
        """Put the sums over all shares in the tensors' place; one message, since many small ones cost more."""
        self._offers[index] = torch.cat([t.reshape(-1) for t in tensors])
        if self._count == 1:
            self._add()
        else:
            self.turn.release()
            try:
                self.barrier.wait()
            finally:
                self.turn.acquire()
        for tensor, part in zip(tensors, self._total.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def _add(self) -> None:
        self._total = self._sum(torch.stack(self._offers))
