"""Intervals, paired tests and the expected best of n trials."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import comb
from scipy.stats import wilcoxon


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, level: float = 0.95, seed: int = 0, n: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, from `n` resamples; NaN values are left out.

    Returns:
        (low, high); both NaN when there is nothing to resample.

    Reference: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if known.size == 0:
        return float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(known.size, size=(n, known.size))
    low, high = np.quantile(known[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_test(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Wilcoxon signed-rank test of a - b over matched pairs, two-sided.

    Pairs where either value is NaN are left out; without any difference p is 1.

    Returns:
        p_value, mean_difference, interval (95 % bootstrap of the mean difference), n (pairs used).

    Raises:
        ValueError: if the two have different lengths.

    Reference: Wilcoxon 1945, doi:10.2307/3001968.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"paired_test: expected matched values, got {first.shape} and {second.shape}")
    difference = first - second
    difference = difference[~np.isnan(difference)]
    p_value = float(wilcoxon(difference).pvalue) if np.any(difference != 0) else 1.0
    mean = float(difference.mean()) if difference.size else float("nan")
    return {
        "p_value": p_value,
        "mean_difference": mean,
        "interval": bootstrap_interval(difference),
        "n": int(difference.size),
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, in the order given.

    Reference: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted.tolist()


def best_of_n(
    scores: Sequence[float] | np.ndarray,
    costs: Sequence[float] | np.ndarray,
    *,
    values: Sequence[float] | np.ndarray | None = None,
) -> pd.DataFrame:
    """What the best of the first n trials is worth when the trials come in random order.

    Exact over all orders: among n of N trials, the one of rank i (1 is the lowest score) is the best in
    C(i - 1, n - 1) of C(N, n) draws. A failed trial (score NaN) costs, and is never the best; draws of failed
    trials only are left out.

    Args:
        scores: a trial is picked by the highest.
        costs: device-seconds of each trial.
        values: what the picked trial is worth; its score when not given.

    Returns:
        A row for each n: n, mean, low, high (2.5 and 97.5 percent of the orders), device_seconds (expected cost).

    Reference: Dodge et al. 2019, arXiv:1909.03004, equation 7 (here without replacement).
    """
    score, cost = np.asarray(scores, dtype=float), np.asarray(costs, dtype=float)
    worth = score if values is None else np.asarray(values, dtype=float)
    if not score.shape == cost.shape == worth.shape:
        raise ValueError(f"best_of_n: expected one cost and value a score, got {score.shape} and {cost.shape}")
    total, failed = len(score), int(np.isnan(score).sum())
    worth = worth[np.argsort(np.where(np.isnan(score), -np.inf, score), kind="stable")][failed:]
    ranks = np.arange(failed + 1, total + 1)
    by_value = np.argsort(worth, kind="stable")
    rows = []
    for n in range(1, total + 1 if len(worth) else 1):
        chance = comb(ranks - 1, n - 1) / comb(total, n)
        chance /= chance.sum()
        low, high = np.searchsorted(np.cumsum(chance[by_value]), [0.025 - 1e-12, 0.975 - 1e-12])
        ends = worth[by_value[[low, high]]]
        rows.append((n, float(chance @ worth), float(ends[0]), float(ends[1]), n * float(cost.mean())))
    types = {"n": int, "mean": float, "low": float, "high": float, "device_seconds": float}
    return pd.DataFrame(rows, columns=list(types)).astype(types)
