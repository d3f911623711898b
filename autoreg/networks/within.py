"""The best choice within budgets."""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from autoreg.networks.choices import Choices
from autoreg.networks.costs import Costs, Table

_BINS = 2000
_STRUCTURES = 2000


def best_choice(
    choices: Choices, scores: np.ndarray, costs: Mapping[str, Costs], budgets: Mapping[str, float]
) -> list[int]:
    """An option for every row: the largest sum of `scores` (rows, columns) whose network keeps all budgets.

    Structures are tried from the best score down, each with the best primitives for it, until no later one can win;
    after 2000 only the smallest one (every first option) is tried. An edge that a network has not counts with its
    best score, so that leaving it out is no gain.

    Raises:
        ValueError: no choice stays within the budgets; names the budget and the least possible.
    """
    scores = np.where(choices.there, scores, -np.inf)
    if not budgets:
        return scores.argmax(axis=1).tolist()
    for kind, budget in budgets.items():
        least = costs[kind].cheapest(choices)
        if least > budget:
            raise ValueError(f"{kind}: expected a budget of at least {least:.4g}, got {budget:g}")
    of_edges = scores[: len(choices.edges)]
    most = float(of_edges.max(axis=1).sum())
    best, found = -np.inf, None
    for structure, score in _structures(choices, scores[len(choices.edges) :]):
        if score + most <= best:
            break
        chosen = _complete(choices, structure, of_edges, costs, budgets)
        total = -np.inf if chosen is None else float(scores[np.arange(len(scores)), chosen].sum())
        if total > best:
            best, found = total, chosen
    if found is None:
        raise ValueError(f"{', '.join(budgets)}: no network keeps all of these budgets together")
    return found


def best_within(scores: np.ndarray, tables: Mapping[str, Table], budgets: Mapping[str, float]) -> list[int] | None:
    """The primitive of every edge: the largest sum of `scores` (edges, primitives) that keeps all budgets, or None.

    One budget: exact up to a 2000th of it, by dynamic programming (multiple-choice knapsack; costs are rounded up, so
    the budget holds). Several: they are folded into one by their worst relative use, which is safe, not exact.
    """
    if any(tables[kind].cheapest() > budget for kind, budget in budgets.items()):
        return None
    use = np.max([tables[kind].choices / (budget - tables[kind].rest) for kind, budget in budgets.items()], axis=0)
    bins = np.ceil(use * _BINS - 1e-9).astype(int)
    best = np.zeros(_BINS + 1)
    picks = []
    for edge_scores, edge_bins in zip(scores, bins, strict=True):
        options = np.full((len(edge_scores), _BINS + 1), -np.inf)
        for column, (score, size) in enumerate(zip(edge_scores, edge_bins, strict=True)):
            if size <= _BINS:
                options[column, size:] = best[: _BINS + 1 - size] + score
        picks.append(options.argmax(axis=0))
        best = options.max(axis=0)
    if not np.isfinite(best[_BINS]):
        return None
    left, chosen = _BINS, []
    for pick, edge_bins in zip(reversed(picks), reversed(bins), strict=True):
        column = int(pick[left])
        chosen.append(column)
        left -= edge_bins[column]
    return chosen[::-1]


def _complete(
    choices: Choices,
    structure: Sequence[int],
    scores: np.ndarray,
    costs: Mapping[str, Costs],
    budgets: Mapping[str, float],
) -> list[int] | None:
    """A structure with the best primitives that keep the budgets; edges that it has not get their best score."""
    chosen = [*scores.argmax(axis=1).tolist(), *structure]
    architecture = choices.genotype(chosen).architecture
    names = [edge.name for edge in architecture.edges()]
    rows = [row for row, edge in enumerate(choices.edges) if edge.name in names]
    tables = {kind: costs[kind].table(architecture, choices.primitives) for kind in budgets}
    primitives = best_within(scores[rows, : len(choices.primitives)], tables, budgets)
    if primitives is None:
        return None
    for row, primitive in zip(rows, primitives, strict=True):
        chosen[row] = primitive
    return chosen


def _structures(choices: Choices, scores: np.ndarray) -> Iterator[tuple[list[int], float]]:
    """Options of the structural rows with the sum of their scores, best first; in the end the smallest structure."""
    ranked = [
        [int(i) for i in np.argsort(-row, kind="stable")[: len(c.options)]]
        for row, c in zip(scores, choices.structure, strict=True)
    ]

    def entry(ranks: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        return (-float(sum(row[order[r]] for row, order, r in zip(scores, ranked, ranks, strict=True))), ranks)

    queue = [entry((0,) * len(ranked))]
    seen = {queue[0][1]}
    for _ in range(_STRUCTURES):
        if not queue:
            return
        cost, ranks = heapq.heappop(queue)
        yield [order[r] for order, r in zip(ranked, ranks, strict=True)], -cost
        for row, rank in enumerate(ranks):
            later = (*ranks[:row], rank + 1, *ranks[row + 1 :])
            if rank + 1 < len(ranked[row]) and later not in seen:
                seen.add(later)
                heapq.heappush(queue, entry(later))
    yield [0] * len(ranked), float(scores[:, 0].sum()) if len(ranked) else 0.0
