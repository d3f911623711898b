"""Registration stated as three levels: what a worker's share of each objective is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autoreg.data.volume import Volume
from autoreg.networks import RELAXATIONS, Registration, Supernet, computing_in, learning_of
from autoreg.registration.batch import PairBatch, augmented, load_batch
from autoreg.registration.objective import BOUNDED, Objective, displacement_at
from autoreg.trilevel import Output

Pair = tuple[str, str]


class Sampler(Protocol):
    """An endless, seeded stream of pairs; a batch is a function of its step alone."""

    def batch(self, step: int, size: int) -> list[Pair]: ...


@dataclass(frozen=True)
class Samplers:
    """Pairs for each level, from disjoint sets of subjects. Plain training needs only `weights`."""

    weights: Sampler
    architecture: Sampler | None = None
    loss_weights: Sampler | None = None


@dataclass(frozen=True)
class Shard:
    """Which pairs of a global batch are this worker's: every `count`-th from `index`."""

    index: int = 0
    count: int = 1

    def of(self, pairs: Sequence[Pair]) -> list[Pair]:
        return list(pairs[self.index :: self.count])


@dataclass(frozen=True)
class UpperObjective:
    """S, the objective of the loss weights: soft Dice of foreground labels, with a price on what is bounded."""

    level: int = 1
    """Grid on which it is measured."""
    prices: Mapping[str, float] = field(default_factory=dict[str, float])
    """Bounded figure (see `BOUNDED`) -> what a unit of its stand-in costs; the controller moves it."""


class RegistrationProblem:
    """One worker's share of the three objectives of a registration network.

    Args:
        network: a `Supernet`, or any derived network (then alpha is None everywhere).
        objective: the terms of the lower objective.
        volumes: volumes by key.
        samplers: pairs for each level.
        batch_size: pairs of a global batch, over all workers.
        shard: this worker's part of it.
        relaxation: name in `RELAXATIONS`.
        seed: of sampled paths; every worker must have the same.
        augment: train on moving images under small random affine motions.
        precision: name in `PRECISIONS`, of the network in weight steps that no upper level looks at.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        objective: Objective,
        volumes: Mapping[str, Volume],
        samplers: Samplers,
        batch_size: int,
        shard: Shard = Shard(),
        relaxation: str = "softmax",
        seed: int = 0,
        augment: bool = False,
        precision: str = "float32",
        device: torch.device | None = None,
    ) -> None:
        self.network = network
        self.objective = objective
        self.volumes = volumes
        self.samplers = samplers
        self.batch_size = batch_size
        self.shard = shard
        self.relaxation = RELAXATIONS[relaxation]
        self.seed = seed
        self.augment = augment
        self.precision = precision
        self.device = device or torch.device("cpu")
        self.upper = UpperObjective()
        self.learning = learning_of(network)
        self._weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]

    @property
    def weights(self) -> list[Tensor]:
        return self._weights

    def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        """The objective's terms, then the network's own."""
        output = self.train_output(alpha, step)
        return output.terms(output.values)

    def step_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        """`train_terms` with the network in `precision`; displacements and terms are float32."""
        output = self._output(alpha, step, self.precision)
        return output.terms(output.values)

    def train_output(self, alpha: Tensor | None, step: int) -> Output:
        # Estimators take differences between weights that are less apart than bfloat16 can tell (1e-3 over all of them,
        # or a part of a step), and differentiate the step that was taken: so all that upper levels look at is float32.
        return self._output(alpha, step, "float32")

    def _output(self, alpha: Tensor | None, step: int, precision: str) -> Output:
        batch, fraction = self._own(self.samplers.weights, step)
        places = range(self.shard.index, self.batch_size, self.shard.count)
        seeds = [self.seed * 1_000_003 + step * self.batch_size + place for place in places]
        if self.augment:
            batch = augmented(batch, seeds)
        with computing_in(precision, self.device):
            registration = self.register(batch, alpha, step, seeds)
        own = self.learning.own_terms(registration.own, step) if self.learning else []
        displacements = [registration.displacement, *registration.levels]

        def terms(values: Sequence[Tensor]) -> Tensor:
            full, *levels = values[: len(displacements)]
            found = self.objective.terms_of(batch, Registration(full, tuple(levels)))
            means = [value.mean().to(found) for value in values[len(displacements) :]]
            return torch.stack([*found, *means]) * fraction

        return Output([*displacements, *own], terms)

    def architecture_terms(self, alpha: Tensor, step: int) -> Tensor:
        return self._share(_need(self.samplers.architecture, "architecture"), alpha, step, self.objective.terms_of)

    def loss_weights_objective(self, alpha: Tensor | None, step: int) -> tuple[Tensor, dict[str, float]]:
        parts: dict[str, float] = {}

        def measure(batch: PairBatch, registration: Registration) -> Tensor:
            value = self.objective.overlap(batch, registration, level=self.upper.level)
            parts["dice"] = 1 - float(value.detach())
            fields = registration.displacement.detach()
            coarse = displacement_at(registration, self.upper.level)
            for name, price in self.upper.prices.items():
                figure, stand_in = BOUNDED[name]
                amount = stand_in(coarse).mean()
                parts[name] = sum(figure(u) for u in fields) / len(fields)
                parts[f"stand_in.{name}"] = float(amount.detach())
                value = value + price * amount
            return value

        pairs = _need(self.samplers.loss_weights, "loss_weights")
        share = self._share(pairs, alpha, step, measure)
        fraction = len(self.shard.of(range(self.batch_size))) / self.batch_size  # type: ignore[arg-type]
        return share, {name: value * fraction for name, value in parts.items()}

    def register(self, batch: PairBatch, alpha: Tensor | None, step: int, seeds: Sequence[int] = ()) -> Registration:
        """The network on a batch; a supernet's path is a function of seed and step, equal on all workers.

        Args:
            seeds: in training, one a pair, for a network that learns in its own way.
        """
        if seeds and self.learning:
            resting = self.learning.resting(self.network, step)
            return functional_call(self.network, resting, (batch.fixed.image, batch.moving.image, seeds))
        if not isinstance(self.network, Supernet):
            return self.network(batch.fixed.image, batch.moving.image)
        if alpha is None:
            raise ValueError("a supernet needs alpha")
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return self.network(batch.fixed.image, batch.moving.image, self.relaxation(alpha, generator))

    def _share(
        self, sampler: Sampler, alpha: Tensor | None, step: int, measure: Callable[[PairBatch, Registration], Tensor]
    ) -> Tensor:
        batch, fraction = self._own(sampler, step)
        return measure(batch, self.register(batch, alpha, step)) * fraction

    def _own(self, sampler: Sampler, step: int) -> tuple[PairBatch, float]:
        """This worker's pairs of a global batch, and the fraction of the batch that they are."""
        own = self.shard.of(sampler.batch(step, self.batch_size))
        batch = load_batch(self.volumes, own, multiple=int(self.network.multiple), device=self.device)  # type: ignore[arg-type]
        return batch, len(own) / self.batch_size


def _need(sampler: Sampler | None, role: str) -> Sampler:
    if sampler is None:
        raise ValueError(f"this run has no pairs for the {role} level")
    return sampler
