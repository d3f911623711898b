"""Instance optimisation: a network's displacement improved on the pair itself, without labels.

The registration objective R with the model's loss weights, less the terms that need labels, is minimised over
a stationary velocity whose exponential comes before the network's displacement:

    phi = phi_network o exp(K v),    u(x) = exp(K v)(x) + u_network(x + exp(K v)(x))

with v on the half grid, K a smoothing kernel, by Adam from v = 0. Every few steps the state is kept if its objective
is lower than that of the one kept before and it folds no more, so neither figure can get worse.

Reference: Balakrishnan et al. 2019, doi:10.1109/TMI.2019.2897538 (instance-specific optimisation).
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from autoreg.data.volume import Volume
from autoreg.errors import InputError
from autoreg.losses import SIMILARITIES
from autoreg.metrics import folds_percent
from autoreg.networks import Registration
from autoreg.registration.batch import PairBatch, load_batch
from autoreg.registration.model import Model
from autoreg.registration.objective import Objective
from autoreg.registration.space import OVERLAP, Term
from autoreg.shapes import Displacement, Velocity
from autoreg.spatial import compose, halve, integrate, resize_displacement

RATE = 0.02
"""Voxels of the half grid that Adam moves each component of v in its first step."""
SMOOTHINGS = 2
"""Means over 3^d voxels that make up K: about a Gaussian of 1.2 voxels of the half grid."""
_SQUARINGS = 4
LOOK = 10
"""Steps between two states that may be kept: counting folds on the whole grid costs more than a step."""


def register_refined(
    model: Model, volumes: Mapping[str, Volume], pair: tuple[str, str], *, steps: int, device: torch.device
) -> Displacement:
    """Displacement (1, d, *s) of a pair on the fixed grid, without padding: the network's, then `steps` of refinement.

    Raises:
        DataError: when the volumes differ in shape.
        InputError: as `refine`.
    """
    batch = load_batch(volumes, [pair], multiple=model.multiple, device=device)
    return register_batch(model, batch, steps=steps)[batch.crop]


def register_batch(model: Model, batch: PairBatch, *, steps: int = 0) -> Displacement:
    """Displacement of a batch of one pair, padded as it is; refined when there are steps. Raises as `refine`."""
    with torch.no_grad():
        displacement = model.network(batch.fixed.image, batch.moving.image).displacement
    return refine(model, batch, displacement, steps=steps) if steps else displacement


def refine(model: Model, batch: PairBatch, start: Displacement, *, steps: int, rate: float = RATE) -> Displacement:
    """The displacement after `steps` of Adam on this pair.

    Args:
        model: its terms and loss weights make the objective.
        batch: one pair.
        start: (1, d, *s) in voxels on the padded grid of the batch.
        rate: first step of Adam, in voxels of the half grid.

    Returns:
        (1, d, *s): the last state that was kept; `start` itself if none was.

    Raises:
        InputError: the model's file holds no terms, or only terms that need labels or see no images.
    """
    objective, weights = unsupervised(model)
    lambda_ = start.new_tensor(weights)
    velocity = start.new_zeros(*start.shape[:2], *[n // 2 for n in start.shape[2:]], requires_grad=True)
    adam = torch.optim.Adam([velocity], lr=rate)
    coarse = halve(start) / 2
    finest = any(term.level == 0 for term in objective.terms)

    def evaluated() -> tuple[Displacement, Tensor]:
        inner = _exponential(velocity)
        displacement = _before(start, inner) if finest else start  # no term would look at it
        return inner, lambda_ @ objective.terms_of(batch, Registration(displacement, (compose(coarse, inner),)))

    _, value = evaluated()
    best, lowest, fewest = start, value.item(), folds_percent(start[batch.crop])
    for step in range(1, steps + 1):
        (velocity.grad,) = torch.autograd.grad(value, [velocity])
        adam.step()
        inner, value = evaluated()
        if (step % LOOK == 0 or step == steps) and value.item() < lowest:
            displacement = _before(start, inner.detach())
            if (folds := folds_percent(displacement[batch.crop])) <= fewest:
                best, lowest, fewest = displacement, value.item(), folds
    return best


def unsupervised(model: Model) -> tuple[Objective, Sequence[float]]:
    """The model's objective and loss weights without terms that need labels.

    Raises:
        InputError: the model holds no terms (an older file), or no similarity is left of them.
    """
    if not model.terms:
        raise InputError(
            "model.pt: terms: expected the terms of the loss weights, got none (an older file); train again"
        )
    terms = [term for term in (Term(**values) for values in model.terms) if term.kind != OVERLAP]
    weights = [float(model.loss_weights[term.name]) for term in terms]
    if not any(term.kind in SIMILARITIES and weight for term, weight in zip(terms, weights, strict=True)):
        raise InputError(
            "model.pt: terms: expected one that compares images, got none; refinement has nothing to follow"
        )
    return Objective(terms, ()), weights


def _exponential(velocity: Velocity) -> Displacement:
    """exp(K v) on the half grid."""
    smooth: Tensor = velocity
    mean = {2: F.avg_pool2d, 3: F.avg_pool3d}[velocity.ndim - 2]
    for _ in range(SMOOTHINGS):
        smooth = mean(smooth, 3, stride=1, padding=1)
    return integrate(smooth, steps=_SQUARINGS)


def _before(start: Displacement, inner: Displacement) -> Displacement:
    """phi_start o exp(K v) on the grid of `start`, from exp(K v) on the half grid."""
    return compose(start, resize_displacement(inner, tuple(start.shape[2:])))
