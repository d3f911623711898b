"""Training of the weights with a frozen architecture; the best state by the score is kept."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.errors import InputError
from autoreg.registration.score import ScoreConfig, summarise
from autoreg.search.moving import MovingLossWeights
from autoreg.search.rounds import Row, own_terms
from autoreg.workers.messages import RoundReport, RoundTask
from autoreg.workers.pool import Pool


@dataclass(frozen=True)
class TrainConfig:
    """The budget of a training; manual tuning gets the same one a trial."""

    steps: int = 3000
    batch_size: int = 2
    """Pairs of a step, over all workers."""
    step_backs: int = 3
    """Divergences that are answered by going back a round and halving the steps; none in manual tuning, where a
    learning rate that diverges is a result."""
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    steps_per_round: int = 25
    """Steps between two saved states."""
    evaluate_every: int = 10
    """Rounds between two looks at the selection pairs."""
    selection_pairs: int = 20
    """Of them, how many are scored."""
    augment: bool = False
    """Small random affine motions of the moving image: for few subjects."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "steps_per_round", "evaluate_every", "selection_pairs"):
            if getattr(self, name) < 1:
                raise InputError(f"train.{name}: expected at least 1, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise InputError(f"train.learning_rate: expected a positive number, got {self.learning_rate}")

    @property
    def rounds(self) -> int:
        return math.ceil(self.steps / self.steps_per_round)

    def rounds_to_look(self, steps: int) -> int:
        """Rounds until the first look at the selection pairs after so many steps, or until the end."""
        looks = math.ceil(steps / (self.steps_per_round * self.evaluate_every))
        return min(looks * self.evaluate_every, self.rounds)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to zero."""
        rising = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        return self.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * step / self.steps))


class TrainDriver:
    """Rounds of weight steps, scored on the selection pairs now and then.

    Args:
        loss_weights: term name -> weight, in the order of the workers' terms.
        pairs: selection pairs; none means that the last state is the result.
        moving: the loss weights where they do not stay as given.
    """

    phase = "train"

    def __init__(
        self,
        config: TrainConfig,
        loss_weights: Mapping[str, float],
        *,
        score: ScoreConfig,
        pairs: Sequence[tuple[str, str]],
        moving: MovingLossWeights | None = None,
    ) -> None:
        self.config, self.score = config, score
        self.rounds, self.step_backs = config.rounds, config.step_backs
        self._given, self.moving = dict(loss_weights), moving
        self.pairs = list(pairs)[: config.selection_pairs]
        self.best: dict[str, Any] = {}
        """`summary` and `weights` of the best state so far."""

    @property
    def loss_weights(self) -> dict[str, float]:
        """Term name -> weight now."""
        return self.moving.named() if self.moving else self._given

    def task(self, index: int) -> RoundTask:
        first = index * self.config.steps_per_round
        steps = range(first, min(first + self.config.steps_per_round, self.config.steps))
        task = RoundTask(
            index=index,
            first_step=first,
            learning_rates=tuple(self.config.learning_rate_at(step) for step in steps),
            loss_weights=np.array(list(self._given.values()), dtype=np.float64),
        )
        return self.moving.asked(task) if self.moving else task

    def finish(self, index: int, reports: list[RoundReport], pool: Pool) -> Row:
        terms = np.sum(np.stack([report.terms for report in reports]), axis=0)
        row: Row = {"train_objective": float(terms @ np.array(list(self.loss_weights.values())))}
        row |= {f"term.{n}": float(v) for n, v in zip(self.loss_weights, terms, strict=True)} | own_terms(reports)
        row |= self.moving.move(index, reports) if self.moving else {}
        last = index == self.rounds - 1
        if self.pairs and (last or (index + 1) % self.config.evaluate_every == 0):
            row |= self._evaluate(pool)
        elif last:
            self.best = {"summary": {}, "weights": pool.state()["weights"]}
        return row

    def _evaluate(self, pool: Pool) -> dict[str, float]:
        summary = summarise(pool.evaluate(self.pairs), self.score)
        if not self.best or not summary["score"] <= self.best["summary"]["score"]:
            self.best = {"summary": summary, "weights": pool.state()["weights"]}
        return summary

    def state(self) -> dict[str, Any]:
        return {"best": self.best} | ({"moving": self.moving.state()} if self.moving else {})

    def load(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        if self.moving:
            self.moving.load(state["moving"])
