"""How much the trained supernet needs each primitive: what its objective loses when the primitive is taken away.

Alpha says which primitive the gradient liked on the way; removal says which one carries the result.
Reference: Wang et al., arXiv:2108.04392, section 4 (here all edges at once, without training in between).
"""

from collections.abc import Sequence

import numpy as np

from autoreg.workers.pool import Pool


def importances(pool: Pool, alpha: np.ndarray, loss_weights: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Rise of the architecture's objective without each primitive, (edges, primitives): the median over batches.

    A mean would follow the few pairs that go wild without a primitive.

    Args:
        steps: numbers of the batches of the architecture's pairs to look at.
    """
    without = [_without(alpha, edge, choice) for edge, choice in np.ndindex(alpha.shape)]
    found = pool.architecture_objectives([alpha, *without], loss_weights, list(steps))
    return np.median(found[1:] - found[0], axis=1).reshape(alpha.shape)


def _without(alpha: np.ndarray, edge: int, choice: int) -> np.ndarray:
    changed = alpha.copy()
    changed[edge, choice] = -np.inf
    return changed
