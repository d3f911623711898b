"""Instance optimisation: a network's displacement improved on the pair itself, without labels.

The registration objective R with the model's loss weights, less the terms that need labels, is minimised over
a stationary velocity whose exponential comes before the network's displacement:

    phi = phi_network o exp(K v),    u(x) = exp(K v)(x) + u_network(x + exp(K v)(x))

K a smoothing kernel, by Adam from v = 0: first on the grid halved twice, then, from what that found, halved once, and
last on the image's own, so that motions of many voxels are found where steps are long and cheap. Every term is taken on
v's grid, whatever it was trained on: what a coarse grid leaves over is what there is to gain. The network's own folds
are mended first. Every few steps v is calmed where voxels fold that did not before, and the state is kept if its
objective is lower than that of the one kept before and it folds no more, so neither figure can get worse.

Reference: Balakrishnan et al. 2019, doi:10.1109/TMI.2019.2897538 (instance-specific optimisation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from torch import Tensor

from autoreg.data.volume import Volume
from autoreg.errors import InputError
from autoreg.losses import SIMILARITIES
from autoreg.metrics import folded_voxels
from autoreg.networks import Registration
from autoreg.registration.batch import PairBatch, halved, load_batch
from autoreg.registration.mend import mended, near
from autoreg.registration.model import Model
from autoreg.registration.objective import Objective
from autoreg.registration.space import OVERLAP, Term
from autoreg.shapes import Displacement, Velocity
from autoreg.spatial import compose, integrate, resize_displacement, window_mean

RATE = 0.04
"""Voxels, of its grid, that Adam moves each component of v in its first step."""
HALVINGS = 2
"""Of the image's grid, for the first steps, at most."""
_UNMEASURED = 1
"""Halvings where no validation pairs have said: at most 0.013 Dice below the best on the three sets of decisions.md."""
SMALLEST = 12
"""Voxels along a side of the coarsest grid, at least."""
SMOOTHINGS = 2
"""Means over 3^d voxels that make up K: about a Gaussian of 1.2 voxels."""
LOOK = 10
"""Steps between two states that may be kept."""
CALMINGS = 3
"""Times that a state is calmed before it is given up."""
_SQUARINGS = 2
"""Of the exponential: two give the Dice of four (0.788 after 20 steps on oasis_2mm) in two thirds of the time."""


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
    """The displacement after `steps` of Adam on this pair, on each of the grids that the model asks for.

    Args:
        model: its terms and loss weights make the objective.
        batch: one pair.
        start: (1, d, *s) in voxels on the padded grid of the batch.
        steps: on each grid.
        rate: first step of Adam, in voxels of each grid.

    Returns:
        (1, d, *s): the last state that was kept; `start`, mended, if none was.

    Raises:
        InputError: the model's file holds no terms, or only terms that need labels or see no images.
    """
    objective, weights = unsupervised(model)
    inner = start[batch.crop]
    if (sound := mended(inner)) is not inner:
        start = start.clone()
        start[batch.crop] = sound
    velocity, best = torch.zeros_like(start), start
    for times in range(_coarser(batch, model.halvings), -1, -1):
        seen = halved(batch, times=times)
        shape = tuple(seen.fixed.image.shape[2:])
        grid = _Grid(objective, start.new_tensor(weights), seen, resize_displacement(start, shape))
        velocity, best = grid.descend(resize_displacement(velocity, shape), steps, rate)
    return best


@dataclass(frozen=True)
class _Grid:
    """The pair on one grid, and where refinement starts there."""

    objective: Objective
    loss_weights: Tensor
    batch: PairBatch
    start: Displacement

    def descend(self, velocity: Velocity, steps: int, rate: float) -> tuple[Velocity, Displacement]:
        """The best of `velocity` and what Adam makes of it, and of 0, which is `start` itself."""
        kept, best = torch.zeros_like(velocity), self.start
        with torch.no_grad():
            lowest, fewest = self._value(best).item(), self._folded(best).sum()
        velocity = velocity.clone().requires_grad_()
        adam = torch.optim.Adam([velocity], lr=rate)
        for step in range(steps + 1):
            displacement = self._moved(velocity)
            value = self._value(displacement)
            if step % LOOK == 0 or step == steps:
                displacement, value, folds = self._calmed(velocity, displacement, value, fewest)
                if value.item() < lowest and folds <= fewest:
                    kept, best = velocity.detach().clone(), displacement.detach()
                    lowest, fewest = value.item(), folds
            if step < steps:
                (velocity.grad,) = torch.autograd.grad(value, [velocity])
                adam.step()
        return kept, best

    def _calmed(
        self, velocity: Velocity, displacement: Displacement, value: Tensor, fewest: Tensor
    ) -> tuple[Displacement, Tensor, Tensor]:
        """Displacement, objective and number of folds, the velocity calmed in place where it folds too much."""
        folded = self._folded(displacement)
        for _ in range(CALMINGS):
            if folded.sum() <= fewest:
                break
            _calm(velocity.detach()[self.batch.crop], folded)
            displacement = self._moved(velocity)
            value, folded = self._value(displacement), self._folded(displacement)
        return displacement, value, folded.sum()

    def _moved(self, velocity: Velocity) -> Displacement:
        return compose(self.start, _exponential(velocity))

    def _value(self, displacement: Displacement) -> Tensor:
        return self.loss_weights @ self.objective.terms_of(self.batch, Registration(displacement, ()))

    def _folded(self, displacement: Displacement) -> Tensor:
        return folded_voxels(displacement[self.batch.crop])


def unsupervised(model: Model) -> tuple[Objective, Sequence[float]]:
    """The model's objective on the image's grid, and its loss weights, without terms that need labels.

    Raises:
        InputError: the model holds no terms (an older file), or no similarity is left of them.
    """
    if not model.terms:
        raise InputError(
            "model.pt: terms: expected the terms of the loss weights, got none (an older file); train again"
        )
    terms = [replace(Term(**values), level=0) for values in model.terms if values["kind"] != OVERLAP]
    weights = [float(model.loss_weights[term.name]) for term in terms]
    if not any(term.kind in SIMILARITIES and weight for term, weight in zip(terms, weights, strict=True)):
        raise InputError(
            "model.pt: terms: expected one that compares images, got none; refinement has nothing to follow"
        )
    return Objective(terms, ()), weights


def _coarser(batch: PairBatch, wanted: int | None) -> int:
    """How many times the grid is halved: as often as wanted, but no side below `SMALLEST`."""
    sizes, most = batch.fixed.image.shape[2:], _UNMEASURED if wanted is None else wanted
    fits = (all(n % 2**times == 0 and n // 2**times >= SMALLEST for n in sizes) for times in range(1, most + 1))
    return sum(takewhile(bool, fits))


def _exponential(velocity: Velocity) -> Displacement:
    """exp(K v)."""
    return integrate(window_mean(velocity, 3, times=SMOOTHINGS), steps=_SQUARINGS)


def _calm(velocity: Velocity, folded: Tensor) -> None:
    """Take the velocity (1, d, *s) away where inner voxels (1, *s - 2) fold, and less and less around; in place."""
    velocity *= 1 - near(folded, velocity)
