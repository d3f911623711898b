"""Quality against regularity and speed: candidates around a searched choice, and which of them nothing beats."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from autoreg.losses import SMOOTHNESS
from autoreg.networks import Genotype
from autoreg.registration.space import SearchSpace
from autoreg.search.finalists import Finalist

FACTORS = (0.25, 1.0, 4.0)
"""On the weights of all regularity terms."""
BETTER_WHEN_LARGE = ("dice",)
BETTER_WHEN_SMALL = ("folds_percent", "hd95_mm", "seconds_a_pair")


def front_candidates(
    space: SearchSpace, genotypes: Mapping[str, Genotype], loss_weights: Mapping[str, float]
) -> list[Finalist]:
    """Every architecture with regularity terms (smoothness, folding) weaker, as they are, and stronger."""
    found: list[Finalist] = []
    for name, genotype in genotypes.items():
        for factor in FACTORS:
            changed = _regularised(space, loss_weights, factor)
            if not any(f.loss_weights == changed and f.genotype == genotype for f in found):
                found.append(Finalist(f"{name} x{factor:g}", genotype, changed))
    return found


def on_front(figures: pd.DataFrame) -> list[bool]:
    """Whether no other row is at least as good in every figure and better in one; NaN is worst."""
    values = np.column_stack(
        [-figures[name].to_numpy(dtype=float) for name in BETTER_WHEN_LARGE if name in figures]
        + [figures[name].to_numpy(dtype=float) for name in BETTER_WHEN_SMALL if name in figures]
    )
    values = np.where(np.isnan(values), np.inf, values)
    return [not _beaten(row, values) for row in values]


def _beaten(row: np.ndarray, others: np.ndarray) -> bool:
    return bool(((others <= row).all(axis=1) & (others < row).any(axis=1)).any())


def _regularised(space: SearchSpace, loss_weights: Mapping[str, float], factor: float) -> dict[str, float]:
    changed = dict(loss_weights)
    for term in space.terms:
        if term.kind in SMOOTHNESS and not term.reference:
            changed[term.name] = min(max(changed[term.name] * factor, term.low), term.high)
    return changed
