"""Sums over the shares of all workers, bit for bit the same whoever holds which share."""

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_shares(own: Tensor, *, shares: int, rank: int, count: int) -> Tensor:
    """The sum over all shares, added in their order.

    `torch.distributed.all_reduce` adds in an order that depends on the number of processes. Here every worker gets
    one piece of all shares, adds it, and hands the sum round: as many bytes travel as in a ring.

    Args:
        own: (own shares, n), those of worker `rank`: `rank`, `rank + count`, ...
        shares: of all workers.
        count: workers.

    Returns:
        (n,), the same on every worker.
    """
    if count == 1:
        return _added(own)
    held, n = own.shape
    width = -(-n // count)
    pieces = torch.nn.functional.pad(own, (0, width * count - n)).view(held, count, width).transpose(0, 1)
    by_worker = [share for r in range(count) for share in range(r, shares, count)]
    received = own.new_empty(shares, width)
    dist.all_to_all_single(
        received,
        pieces.reshape(count * held, width),
        output_split_sizes=[len(range(r, shares, count)) for r in range(count)],
        input_split_sizes=[held] * count,
    )
    in_order = torch.empty_like(received)
    in_order[by_worker] = received
    total = own.new_empty(count, width)
    dist.all_gather(list(total), _added(in_order))
    return total.view(-1)[:n]


def _added(rows: Tensor) -> Tensor:
    """The sum of the rows, one after the other: `torch.sum` may choose another order for another shape."""
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total
