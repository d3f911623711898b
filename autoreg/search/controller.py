"""The triple-level search: what each round does, and how alpha and lambda answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreg.errors import InputError
from autoreg.networks import ACTIVATIONS, RELAXATIONS, Choices, Genotype, check_network
from autoreg.registration.space import SearchSpace
from autoreg.search.budget import Budget
from autoreg.search.finalists import Finalist, architectures
from autoreg.search.perturbation import importances
from autoreg.search.rounds import Row, own_terms
from autoreg.search.upper import MOMENTUM, UpperConfig, UpperLevels
from autoreg.workers.messages import RoundReport, RoundTask
from autoreg.workers.pool import Pool

IMPORTANCE_BATCHES = 7
_RISING = 50
"""Steps in which the learning rate rises."""
_BEHIND = 1e-6
"""Of undecided options to the stated one, in scores."""


@dataclass(frozen=True)
class SearchConfig:
    """The schedule of a search."""

    rounds: int = 20
    warmup_rounds: int = 12
    """Rounds of weights only, before alpha and lambda move."""
    steps_per_round: int = 12
    """Weight steps of a round; one alpha step and one lambda step follow them."""
    batch_size: int = 2
    """Pairs of a weight step, over all workers."""
    step_backs: int = 3
    """Divergences that are answered by going back a round and halving the weights' steps."""
    learning_rate: float = 1e-3
    network: str | None = None
    """A network by name whose loss weights alone are searched; none searches the space's architecture, too."""
    relaxation: str = "partial-channel"
    """How the choice on an edge is mixed: `partial-channel`, `softmax` or `single-path`."""
    stated: float = 0.7
    """Probability (in `softmax`: weight) of the stated option of each choice among those that alpha does not tell
    apart; 0 treats all alike, as published."""
    activation: str = "inside"
    """Primitives are activated each (`inside`), or together after their sum, with kernels merged (`after_sum`)."""
    upper_level: int = 1
    """Grid of the loss weights' objective: 0 the image's, 1 the half grid."""
    upper: UpperConfig = field(default_factory=UpperConfig)
    max_ms: float | None = None
    """Most milliseconds of a registration of one pair on a worker's device."""
    max_mib: float | None = None
    """Most memory that a training step of one pair keeps for the way back, in MiB."""
    max_params: float | None = None
    """Most weights of the network."""
    pareto: bool = False
    """Draw a front of Dice, folds and time around the result, by more brief trainings."""
    evidence: float = 3.0
    """How far alpha must lead away from the stated architecture, in standard deviations of a random walk
    (`search.drift`), before a choice is changed; 0 takes the largest alpha, as published."""
    removal: bool = False
    """Also enter the architecture of those primitives that the supernet needs most (`search.perturbation`)."""
    finalists: int = 5
    """Most trainings begun in the end: with loss weights as far as searched, then 2 and 4 times as far from their
    starts while that does not cost (regularity raised with them); then with the default architecture; then with all
    defaults. 1 takes what was searched, unseen."""
    finalist_steps: int = 200
    """First steps of their final training that loss weights are compared by, up to the next look at the selection
    pairs; the best of them and the defaults take twice as many, the two best of those four times, and `train` goes on
    with the winner's. Also the steps of a candidate of the front."""
    moves_until: float = 0.0
    """Share of the final training until which the loss weights go on moving, from a tenth on, a move a round
    (`search.moving`); 0 leaves them as searched."""

    def learning_rate_at(self, step: int) -> float:
        """Of the weights: it rises in the first steps, as in a training, and stays: a search has no end to reach."""
        return self.learning_rate * min(1.0, (step + 1) / _RISING)

    @property
    def levels(self) -> str:
        """What is searched: `both`, `alpha` or `loss_weights`. A network by name has no alpha."""
        return "loss_weights" if self.network else self.upper.levels

    @property
    def limits(self) -> dict[str, float]:
        """Budgets that were given, by kind of cost."""
        given = {"ms": self.max_ms, "mib": self.max_mib, "params": self.max_params}
        return {kind: limit for kind, limit in given.items() if limit is not None}

    def __post_init__(self) -> None:
        if not 0 <= self.stated < 1:
            raise InputError(f"search.stated: expected 0 to less than 1, got {self.stated}")
        if not 0 <= self.moves_until <= 1:
            raise InputError(f"search.moves_until: expected 0 to 1, got {self.moves_until}")
        if self.evidence < 0:
            raise InputError(f"search.evidence: expected at least 0, got {self.evidence}")
        for name in ("rounds", "steps_per_round", "batch_size", "finalists", "finalist_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"search.{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.warmup_rounds <= self.rounds:
            raise InputError(f"search.warmup_rounds: expected 0 to {self.rounds} (rounds), got {self.warmup_rounds}")
        if self.relaxation not in RELAXATIONS:
            raise InputError(f"search.relaxation: expected one of {', '.join(RELAXATIONS)}, got {self.relaxation!r}")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"search.activation: expected one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if self.network:
            check_network(self.network, "search.network")
            if self.upper.levels == "alpha" or self.pareto or self.limits:
                raise InputError(
                    f"search.network: expected no search of alpha, no budget and no front, since {self.network} has "
                    f"no choices, got levels {self.upper.levels}, budgets {self.limits}, pareto {self.pareto}"
                )
        if self.removal and (self.relaxation == "single-path" or self.levels == "loss_weights"):
            got = f"{self.relaxation}, {self.levels}"
            raise InputError(
                f"search.removal: expected relaxation softmax or partial-channel and a searched alpha, got {got}"
            )
        if self.upper.paths == "full" and self.relaxation == "single-path":
            raise InputError(
                f"search.upper.paths: full needs relaxation softmax or partial-channel, got {self.relaxation}"
            )
        unrolled = "unrolled" in (self.upper.alpha_estimator, self.upper.loss_weights_estimator)
        if unrolled and self.upper.horizon > self.steps_per_round:
            expected = f"expected at most {self.steps_per_round} (steps_per_round) for unrolled"
            raise InputError(f"search.upper.horizon: {expected}, got {self.upper.horizon}")


class SearchDriver:
    """Holds alpha and lambda; small, so it stays in the controller's process.

    Args:
        space: what may vary.
        config: schedule and learning rates.
        bounds: figures that the labels' objective must keep under these values.
    """

    phase = "search"

    def __init__(self, space: SearchSpace, config: SearchConfig, *, bounds: Mapping[str, float], seed: int) -> None:
        self.space, self.config = space, config
        self.rounds, self.step_backs = config.rounds, config.step_backs
        self.choices = space.choices
        self.rows = [] if config.network else self.choices.rows
        there = self.choices.there[: len(self.rows)]
        self.upper = UpperLevels(
            there.shape,
            [term.weight_range for term in space.terms],
            config.upper,
            bounds=bounds,
            seed=seed,
        )
        # short rows are filled up: softmax gives -inf nothing, and no gradient moves it
        self.upper.alpha[~torch.from_numpy(there)] = -torch.inf
        self._around = _around(self.choices, config.stated)[: len(self.rows)]
        self.budget = Budget(config.limits, self.choices)
        self.importances: Tensor | None = None

    def prepare(self, pool: Pool, image_shape: Sequence[int]) -> None:
        """Measure what the budgets bound, on a worker. Raises ConfigError for one that no network keeps."""
        if self.budget.limits or self.config.pareto:
            self.budget.use(pool.measure_costs(image_shape))

    def task(self, index: int) -> RoundTask:
        alpha_moves, loss_weights_move = self._moving(index)
        steps, upper = self.config.steps_per_round, self.config.upper
        first = index * steps
        return RoundTask(
            index=index,
            first_step=first,
            learning_rates=tuple(self.config.learning_rate_at(step) for step in range(first, first + steps)),
            loss_weights=self.upper.loss_weights.values().numpy(),
            alpha=self._mixing(),
            update_alpha=alpha_moves,
            update_loss_weights=loss_weights_move and bool(self.upper.loss_weights.free),
            alpha_estimator=upper.alpha_estimator,
            loss_weights_estimator=upper.loss_weights_estimator,
            horizon=upper.horizon,
            alpha_step=upper.alpha_learning_rate * (1 - MOMENTUM) if upper.paths == "full" else None,
            prices=self.upper.prices(),
        )

    def _mixing(self) -> np.ndarray:
        """alpha as the supernet gets it: around the stated architecture."""
        return (self.upper.alpha + self._around).numpy()

    def _moving(self, index: int) -> tuple[bool, bool]:
        """Whether alpha and the loss weights move in this round."""
        if index < self.config.warmup_rounds:
            return False, False
        alpha, loss_weights = (self.config.levels in ("both", level) for level in ("alpha", "loss_weights"))
        if self.config.upper.paths == "sequential":
            alpha_turn = index < (self.config.warmup_rounds + self.rounds) / 2
            return alpha and alpha_turn, loss_weights and not alpha_turn
        return alpha, loss_weights

    def finish(self, index: int, reports: list[RoundReport], pool: Pool) -> Row:
        used = self.upper.loss_weights.values().numpy()
        row: Row = {"train_objective": float(_sum(reports, "terms") @ used)}
        if reports[0].architecture_terms is not None:
            row["architecture_objective"] = float(_sum(reports, "architecture_terms") @ used)
        pull, costs = None, {}
        if self.budget.limits and reports[0].alpha_direct is not None:
            pull, costs = self.budget.pull(self.upper.alpha)
        row |= self.upper.update(reports, pull) | costs
        row |= self._collapse() if self.rows else {}
        row |= {f"lambda.{name}": value for name, value in self.upper.loss_weights.named().items()}
        names = [term.name for term in self.space.terms]
        row |= {f"term.{n}": float(v) for n, v in zip(names, _sum(reports, "terms"), strict=True)} | own_terms(reports)
        for choice, probabilities in zip(self.rows, self.upper.probabilities(), strict=True):
            named = zip(choice.options, probabilities, strict=False)  # shorter rows are filled up
            row |= {f"alpha.{choice.name}.{option}": float(p) for option, p in named}
        return row | {"phase": "search" if index >= self.config.warmup_rounds else "warm-up"}

    def _collapse(self) -> Row:
        """Signs of an architecture that collapses or is none: alpha's entropy, how far it leads away from the stated
        architecture, and on how many edges each primitive leads."""
        primitives = self.space.primitives
        leading = self.upper.probabilities()[: len(self.choices.edges)].argmax(1)
        shares = zip(primitives, np.bincount(leading, minlength=len(primitives)) / len(leading), strict=False)
        drift = float(self._drift().max())
        signs: Row = {"alpha_entropy": self.upper.entropy(), "alpha_drift": drift}
        return signs | {f"alpha_share.{p}": float(share) for p, share in shares}

    def state(self) -> dict[str, Any]:
        return self.upper.state() | {"budget": self.budget.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.upper.load(state)
        self.budget.load(state["budget"])

    def weigh(self, pool: Pool) -> None:
        """Measure how much the supernet needs each primitive."""
        after = self.rounds * self.config.steps_per_round
        weights = self.upper.loss_weights.values().numpy()
        steps = range(after, after + IMPORTANCE_BATCHES)
        self.importances = torch.from_numpy(importances(pool, self._mixing(), weights, steps))

    def finalists(self) -> list[Finalist]:
        """Networks with the searched loss weights: every architecture and the default one, or the one by name."""
        searched = self.upper.loss_weights.named()
        if self.config.network:
            return [Finalist(self.config.network, None, searched)]
        return architectures(self.genotypes(), searched, self.default_genotype())

    def genotypes(self) -> dict[str, Genotype]:
        """Ways to decode: by the largest alpha, and by what removal costs if that was measured; within the budget.

        None where the architecture was not searched.
        """
        if self.config.levels == "loss_weights":
            return {}
        found = {"by alpha": self._decoded(self._by_alpha())}
        return found if self.importances is None else found | {"by removal": self._decoded(self.importances)}

    def default_genotype(self) -> Genotype:
        """The stated architecture with the usual primitive everywhere, or as much of that as the budget allows."""
        scores = torch.zeros_like(self.upper.alpha)
        scores[range(len(scores)), self.choices.usual()] = 1.0
        return self._decoded(scores)

    def _by_alpha(self) -> Tensor:
        """log softmax(alpha), with options that alpha has not decided for behind the stated one, in their order."""
        scores = self.upper.alpha.log_softmax(dim=1)
        if self.config.evidence == 0:
            return scores
        usual = torch.tensor(self.choices.usual())[:, None]
        stated = scores.gather(1, usual)
        undecided = (self._drift() < self.config.evidence) & (scores >= stated)
        undecided.scatter_(1, usual, False)
        behind = stated - _BEHIND * (1 + scores.amax(dim=1, keepdim=True) - scores)
        return torch.where(undecided, behind, scores)

    def _drift(self) -> Tensor:
        return self.upper.drift.over(self.choices.usual())

    def decided(self) -> list[str] | None:
        """Choices that alpha leads away from the stated architecture; None where no evidence is asked of it."""
        if self.config.levels == "loss_weights" or self.config.evidence == 0:
            return None
        there = torch.from_numpy(self.choices.there[: len(self.rows)])
        far = (torch.where(there, self._drift(), -torch.inf) >= self.config.evidence).any(dim=1).tolist()
        return [choice.name for choice, is_far in zip(self.rows, far, strict=True) if is_far]

    def fast_genotype(self, genotype: Genotype) -> Genotype:
        """The best by alpha among those whose choices take at most two thirds of the time of this one's."""
        ms = self.budget.costs["ms"]
        least = ms.cheapest(self.choices)
        room = least + (ms.of(genotype) - least) * 2 / 3
        return self._decoded(self._by_alpha(), {"ms": room})

    def costs(self, genotype: Genotype) -> dict[str, float]:
        """What a network costs, by measured kind; empty without a budget."""
        return {kind: c.of(genotype) for kind, c in self.budget.costs.items()}

    def _decoded(self, scores: Tensor, limits: dict[str, float] | None = None) -> Genotype:
        return self.choices.genotype(self.budget.decode(scores, limits))


def _around(choices: Choices, stated: float) -> Tensor:
    """What to add to equal alpha, (rows, columns), so that softmax gives the stated option of each row this share."""
    shift = torch.zeros(choices.there.shape)
    if stated:
        others = torch.from_numpy(choices.there.sum(axis=1)) - 1
        rows = torch.arange(len(shift))
        shift[rows, choices.usual()] = (stated / (1 - stated) * others.clamp(min=1)).log().to(shift)
    return shift


def _sum(reports: Sequence[RoundReport], field_name: str) -> np.ndarray:
    return np.sum(np.stack([getattr(report, field_name) for report in reports]), axis=0)
