"""How much the trained supernet needs each option: what its objective loses when the option is taken away.

Alpha says which primitive the gradient liked on the way; removal says which one carries the result.
Reference: Wang et al., arXiv:2108.04392, section 4 (here all edges at once, without training in between).
"""

from collections.abc import Sequence

import numpy as np

from autoreg.workers.pool import Pool


def importances(pool: Pool, alpha: np.ndarray, loss_weights: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Rise of the architecture's objective without each option, of alpha's shape: the median over batches.

    A mean would follow the few pairs that go wild without a primitive. What is no option (alpha -inf) has -inf.

    Args:
        steps: numbers of the batches of the architecture's pairs to look at.
    """
    there = np.isfinite(alpha)
    without = [_without(alpha, row, column) for row, column in np.argwhere(there)]
    found = pool.architecture_objectives([alpha, *without], loss_weights, list(steps))
    rises = np.full(alpha.shape, -np.inf)
    rises[there] = np.median(found[1:] - found[0], axis=1)
    return rises


def _without(alpha: np.ndarray, row: int, column: int) -> np.ndarray:
    changed = alpha.copy()
    changed[row, column] = -np.inf
    return changed
