"""The best choice within budgets."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoreg.networks.choices import Choices
from autoreg.networks.costs import Costs, Table

_BINS = 2000
_STRUCTURES = 2000


def best_choice(
    choices: Choices, scores: np.ndarray, costs: Mapping[str, Costs], budgets: Mapping[str, float]
) -> list[int]:
    """An option for every row: a large sum of `scores` (rows, columns) whose network keeps all budgets.

    The largest where there are at most 2000 structures. Of more, those on the way from the best-scored one to the
    smallest, one row at a time where most cost is saved for least score; then single rows change while that helps.
    An edge that a network has not counts with its best score, so that leaving it out is no gain.

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
    search = _Structures(choices, scores, costs, budgets)
    few = math.prod(len(row.options) for row in choices.structure) <= _STRUCTURES
    chosen = search.best_of_all() if few else search.best_nearby()
    if chosen is None:
        raise ValueError(f"{', '.join(budgets)}: no network keeps all of these budgets together")
    return chosen


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


@dataclass(frozen=True)
class _Structures:
    """Ways through the structural options; each is filled with the best primitives that keep the budgets."""

    choices: Choices
    scores: np.ndarray
    costs: Mapping[str, Costs]
    budgets: Mapping[str, float]

    def best_of_all(self) -> list[int] | None:
        of_edges = self.scores[: len(self.choices.edges)]
        most = float(of_edges.max(axis=1).sum())
        every = itertools.product(*[range(len(row.options)) for row in self.choices.structure])
        best, found = -np.inf, None
        for structure in sorted(every, key=self._score, reverse=True):
            if self._score(structure) + most <= best:
                break  # and so for all that follow
            chosen = self._filled(structure)
            if self._total(chosen) > best:
                best, found = self._total(chosen), chosen
        return found

    def best_nearby(self) -> list[int] | None:
        structure = tuple(int(i) for i in self.scores[len(self.choices.edges) :].argmax(axis=1))
        found = self._filled(structure)
        while any(structure):
            structure = max(self._smaller(structure), key=lambda other: self._gain(structure, other))
            found = max(found, self._filled(structure), key=self._total)
        while found is not None:
            own = found[len(self.choices.edges) :]
            better = max(map(self._filled, self._changed(own)), key=self._total)
            if self._total(better) <= self._total(found):
                return found
            found = better
        return None

    def _smaller(self, structure: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Every structure with one row at its next smaller option."""
        for row, option in enumerate(structure):
            if option:
                yield (*structure[:row], option - 1, *structure[row + 1 :])

    def _changed(self, structure: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Every structure with one row at another option."""
        for row, choice in enumerate(self.choices.structure):
            for option in range(len(choice.options)):
                if option != structure[row]:
                    yield (*structure[:row], option, *structure[row + 1 :])

    def _gain(self, larger: Sequence[int], smaller: Sequence[int]) -> float:
        """Use of the budgets saved for a unit of score."""
        return (self._use(larger) - self._use(smaller)) / max(self._score(larger) - self._score(smaller), 1e-6)

    def _use(self, structure: Sequence[int]) -> float:
        genotype = self.choices.genotype(self._unbounded(structure))
        return max(self.costs[kind].of(genotype) / budget for kind, budget in self.budgets.items())

    def _score(self, structure: Sequence[int]) -> float:
        rows = self.scores[len(self.choices.edges) :]
        return float(sum(row[option] for row, option in zip(rows, structure, strict=True)))

    def _total(self, chosen: Sequence[int] | None) -> float:
        return -np.inf if chosen is None else float(self.scores[np.arange(len(self.scores)), chosen].sum())

    def _unbounded(self, structure: Sequence[int]) -> list[int]:
        return [*self.scores[: len(self.choices.edges)].argmax(axis=1).tolist(), *structure]

    def _filled(self, structure: Sequence[int]) -> list[int] | None:
        """The structure with the best primitives that keep the budgets; edges that it has not get their best score."""
        chosen = self._unbounded(structure)
        architecture = self.choices.genotype(chosen).architecture
        names = {edge.name for edge in architecture.edges()}
        rows = [row for row, edge in enumerate(self.choices.edges) if edge.name in names]
        primitives = self.choices.primitives
        tables = {kind: self.costs[kind].table(architecture, primitives) for kind in self.budgets}
        found = best_within(self.scores[rows, : len(primitives)], tables, self.budgets)
        if found is None:
            return None
        for row, primitive in zip(rows, found, strict=True):
            chosen[row] = primitive
        return chosen
