"""What travels between controller and workers: small, picklable, arrays as numpy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autoreg.errors import DivergedError, WorkerError
from autoreg.registration.problem import Samplers
from autoreg.registration.space import Term

State = dict[str, Any]
"""Weights and moments of a worker: nested dictionaries and lists of numpy arrays and numbers."""


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a worker needs to set itself up; the same for all workers of a pool."""

    cache: str
    """Arrow file of volumes."""
    network: Mapping[str, Any]
    """{"supernet": plain choices}, {"genotype": ...} or {"name": ...}."""
    terms: tuple[Term, ...]
    labels: tuple[int, ...]
    samplers: Samplers
    batch_size: int
    seed: int = 0
    relaxation: str = "softmax"
    activation: str = "inside"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 5.0
    upper_level: int = 1
    augment: bool = False
    """Train on moving images under small random affine motions."""
    extensions: tuple[str, ...] = ()
    """The user's files with primitives, matches and terms; a worker elsewhere must see them at the same path."""
    average_every: int = 1
    """Steps that every share takes on its own before weights and moments are averaged."""
    threads: int = 1
    """Of torch on a CPU; part of the result's last bits, so part of the spec."""
    precision: str = "float32"
    """Of the network's convolutions in weight steps."""
    checkpointing: bool = False
    """Activations are computed again on the way back; changes no bit of the result."""


@dataclass(frozen=True)
class RoundTask:
    """One round: K weight steps, then the parts of the upper hypergradients asked for; see `trilevel.Round`."""

    index: int
    first_step: int
    learning_rates: tuple[float, ...]
    loss_weights: np.ndarray
    alpha: np.ndarray | None = None
    update_alpha: bool = False
    update_loss_weights: bool = False
    alpha_estimator: str = "darts_fd"
    loss_weights_estimator: str = "through_output"
    horizon: int = 1
    alpha_step: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    """Bounded figure -> its price in the loss weights' objective."""


@dataclass(frozen=True)
class RoundReport:
    """One share; all shares add up to the round's values."""

    index: int
    rank: int
    """Number of the share."""
    terms: np.ndarray
    own_terms: Mapping[str, float] = field(default_factory=dict)
    """Those that the network adds by itself, before their fixed weights; mean over all steps, in which it counts or
    (in the turn of another level) is 0."""
    alpha_direct: np.ndarray | None = None
    alpha_indirect: np.ndarray | None = None
    architecture_terms: np.ndarray | None = None
    loss_weights_gradient: np.ndarray | None = None
    loss_weights_through_alpha: np.ndarray | None = None
    upper: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    sum_seconds: float = 0.0
    """Of them, in sums over workers: waiting for the others and sending."""


def complete(reports: Iterable[RoundReport], task: RoundTask, shares: int) -> list[RoundReport]:
    """The reports of a round, one a share in their order; those of other rounds and second ones are left out.

    Raises:
        WorkerError: a share is missing.
        DivergedError: a value is not finite.
    """
    first: dict[int, RoundReport] = {}
    for report in reports:
        if report.index == task.index:
            first.setdefault(report.rank, report)
    missing = sorted(set(range(shares)) - set(first))
    if missing:
        raise WorkerError(f"round {task.index}: no report of shares {missing} of {shares}")
    found = [first[share] for share in range(shares)]
    for level, names in _LEVELS.items():
        arrays = [value for report in found for name in names if (value := getattr(report, name)) is not None]
        if not all(np.isfinite(array).all() for array in arrays):
            raise DivergedError(level, task.index, task.first_step + len(task.learning_rates) - 1)
    return found


_LEVELS = {
    "weights": ("terms",),
    "architecture": ("architecture_terms", "alpha_direct", "alpha_indirect"),
    "loss weights": ("loss_weights_gradient", "loss_weights_through_alpha"),
}
"""What the level's step depends on."""
