"""What travels between controller and workers: small, picklable, arrays as numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
    threads: int = 1
    """Of torch on a CPU; part of the result's last bits, so part of the spec."""


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
    """One worker's share; the shares of all workers add up to the round's values."""

    index: int
    rank: int
    terms: np.ndarray
    alpha_direct: np.ndarray | None = None
    alpha_indirect: np.ndarray | None = None
    architecture_terms: np.ndarray | None = None
    loss_weights_gradient: np.ndarray | None = None
    loss_weights_through_alpha: np.ndarray | None = None
    upper: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
