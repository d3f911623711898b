"""Loss weights that go on moving in the final training.

What a search of few steps sees of the loss weights is greedy (Wu et al., arXiv:1803.02021): similarity brings more Dice
in the first steps, labels in the later ones. In the final training the same hypergradient sees those later steps, and
through the network that is kept. So weights and loss weights go on together until a share of the training is done; then
lambda rests, and the subjects that moved it are trained on as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoreg.losses import SMOOTHNESS
from autoreg.registration.space import Term
from autoreg.search.rounds import Row
from autoreg.search.upper import UpperConfig, UpperLevels
from autoreg.trilevel import WeightRange
from autoreg.workers.messages import RoundReport, RoundTask

FIRST = 0.1
"""Share of the training before the first move: nothing is learned yet that could say which way."""


class MovingLossWeights:
    """lambda of a training, from given values on.

    Regularity grows by the root of what the fastest other term grows, as in `loss_weights_along`, and more where a
    bound asks for it. It never falls: while nothing folds, which is for most of a training, the hypergradient would let
    go of it.

    Args:
        terms: the space's.
        given: term name -> weight at first; positive, since what moves is its log.
        config: estimator and length of a move.
        bounds: figures that the labels' objective must keep under these values.
        rounds: those after which lambda moves.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        given: Mapping[str, float],
        config: UpperConfig,
        *,
        bounds: Mapping[str, float],
        rounds: range,
    ) -> None:
        self.config, self.rounds = config, rounds
        ranges = [_range(term, given[term.name]) for term in terms]
        self.upper = UpperLevels((0, 1), ranges, config, bounds=bounds, seed=0)

    def asked(self, task: RoundTask) -> RoundTask:
        """The round's task with the loss weights of now, and the hypergradient if they move after it."""
        return replace(
            task,
            loss_weights=self.upper.loss_weights.values().numpy(),
            update_loss_weights=task.index in self.rounds,
            loss_weights_estimator=self.config.loss_weights_estimator,
            horizon=self.config.horizon,
            prices=self.upper.prices(),
        )

    def move(self, index: int, reports: Sequence[RoundReport]) -> Row:
        """Move lambda if the round asked for it; the history's columns."""
        found = self.upper.update(reports) if index in self.rounds else {}
        row: Row = {name: found[name] for name in ("lambda_hypergradient_norm", "soft_dice") if name in found}
        return row | {f"lambda.{name}": value for name, value in self.named().items()}

    def named(self) -> dict[str, float]:
        """Term name -> weight now."""
        return self.upper.loss_weights.named()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.upper.state()

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.upper.load(state)


def _range(term: Term, given: float) -> WeightRange:
    regular = term.kind in SMOOTHNESS
    return replace(term.weight_range, start=given, low=given if regular else term.low, follows=regular)


def moving_rounds(until: float, rounds: int) -> range:
    """Of so many rounds of a training, those after which lambda moves; not the last, which may be of few steps."""
    return range(max(1, math.ceil(FIRST * rounds)), min(math.floor(until * rounds), rounds - 1))
