"""One share of every batch: a copy of the network with its moments, and what it computes on its pairs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.data.volume import Volume
from autoreg.errors import SearchSpaceError
from autoreg.networks import Supernet, build_network, choices_from_dict, learning_of, recompute_activations
from autoreg.registration.objective import Objective
from autoreg.registration.problem import RegistrationProblem, Shard, UpperObjective
from autoreg.trilevel import LowerStep, Round, RoundParts, solve_round
from autoreg.trilevel.levels import Reduce, place
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Share:
    """Share `index` of `count`: every `count`-th pair of a batch. All shares hold the same weights.

    Args:
        spec: the same for every share.
        volumes: volumes by key.
    """

    def __init__(
        self, spec: WorkerSpec, volumes: Mapping[str, Volume], device: torch.device, index: int, count: int
    ) -> None:
        self.spec, self.index, self.device = spec, index, device
        self.network = _fresh_network(spec).to(device)
        self.problem = RegistrationProblem(
            self.network,
            objective=Objective(spec.terms, spec.labels),
            volumes=volumes,
            samplers=spec.samplers,
            batch_size=spec.batch_size,
            shard=Shard(index, count),
            relaxation=spec.relaxation,
            seed=spec.seed,
            augment=spec.augment,
            precision=spec.precision,
            device=device,
        )
        learning = learning_of(self.network)
        self.own_terms = dict(learning.terms) if learning else {}
        self.lower = LowerStep(self.problem.weights, betas=spec.betas, clip=spec.clip)

    def run_round(self, task: RoundTask, reduce: Reduce) -> RoundReport:
        """Train K steps and report this share. Raises DivergedError."""
        start = time.perf_counter()
        self.problem.upper = UpperObjective(self.spec.upper_level, task.prices)
        alpha = None if task.alpha is None else as_tensor(task.alpha, self.device)
        searched = len(task.loss_weights)  # the network's own terms come after them, with weights that nobody moves
        loss_weights = np.append(task.loss_weights, list(self.own_terms.values()))
        parts = self._solve(
            Round(
                index=task.index,
                first_step=task.first_step,
                learning_rates=task.learning_rates,
                loss_weights=as_tensor(loss_weights, self.device),
                alpha=alpha,
                update_alpha=task.update_alpha,
                update_loss_weights=task.update_loss_weights,
                alpha_estimator=task.alpha_estimator,
                loss_weights_estimator=task.loss_weights_estimator,
                horizon=task.horizon,
                alpha_step=task.alpha_step,
            ),
            reduce,
        )
        gradient = parts.loss_weights_gradient
        return RoundReport(
            index=task.index,
            rank=self.index,
            terms=parts.terms[:searched].cpu().numpy(),
            own_terms=dict(zip(self.own_terms, parts.terms[searched:].tolist(), strict=True)),
            alpha_direct=_array(parts.alpha_direct),
            alpha_indirect=_array(parts.alpha_indirect),
            architecture_terms=_array(parts.architecture_terms),
            loss_weights_gradient=_array(None if gradient is None else gradient[:searched]),
            loss_weights_through_alpha=_array(parts.loss_weights_through_alpha),
            upper=parts.upper,
            refused=parts.refused,
            seconds=time.perf_counter() - start,
        )

    def _solve(self, task: Round, reduce: Reduce) -> RoundParts:
        """The round; where shares go alone for some steps, only those that the upper levels look at are joint."""
        alone = len(task.learning_rates) - task.recorded
        if self.spec.average_every == 1 or self.problem.shard.count == 1 or alone == 0:
            return solve_round(self.problem, self.lower, task, reduce)
        total = torch.zeros_like(task.loss_weights)
        for first in range(0, alone, self.spec.average_every):
            rates = task.learning_rates[first : min(first + self.spec.average_every, alone)]
            steps = replace(task, first_step=task.first_step + first, learning_rates=rates)
            calm = replace(steps, update_alpha=False, update_loss_weights=False)
            total += solve_round(self.problem, self.lower, calm, self._as_if_all).terms * len(rates)
            self._average(reduce)
        if alone == len(task.learning_rates):
            return RoundParts(total / alone)
        last = replace(task, first_step=task.first_step + alone, learning_rates=task.learning_rates[alone:])
        parts = solve_round(self.problem, self.lower, last, reduce)
        parts.terms = (total + parts.terms * len(last.learning_rates)) / len(task.learning_rates)
        return parts

    @property
    def _part(self) -> float:
        """Of a batch's pairs."""
        size = self.spec.batch_size
        return len(range(self.index, size, self.problem.shard.count)) / size

    def _as_if_all(self, gradient: Sequence[Tensor]) -> None:
        """The mean over this share's pairs in the place of the whole batch's."""
        for tensor in gradient:
            tensor /= self._part

    def _average(self, reduce: Reduce) -> None:
        state = self.lower.state()
        values = [weight.detach() * self._part for weight in self.problem.weights]
        moments = {name: [moment * self._part for moment in state[name]] for name in _MOMENTS}
        reduce([*values, *(moment for name in _MOMENTS for moment in moments[name])])
        place(self.problem.weights, values)
        self.lower.load({"steps": state["steps"], **moments})

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        """This share of R_val for each alpha and batch, (alphas, steps)."""
        weights = as_tensor(loss_weights, self.device)
        values = np.zeros((len(alphas), len(steps)))
        with torch.inference_mode():
            for row, alpha in enumerate(alphas):
                for column, step in enumerate(steps):
                    terms = self.problem.architecture_terms(as_tensor(alpha, self.device), step)
                    values[row, column] = float(terms.to(weights) @ weights)
        return values

    def state(self) -> State:
        """A copy of weights and moments."""
        weights = {name: _copy(value) for name, value in self.network.state_dict().items()}
        lower = self.lower.state()
        moments = {name: [_copy(moment) for moment in lower[name]] for name in _MOMENTS}
        return {"weights": weights, "lower": {"steps": lower["steps"], **moments}}

    def load(self, state: State) -> None:
        """Continue from a `state()`. Raises SearchSpaceError for that of another network."""
        _check_same_network(self.network, state["weights"])
        self.network.load_state_dict({k: as_tensor(v, self.device) for k, v in state["weights"].items()})
        lower = state["lower"]
        moments = {name: [as_tensor(moment, self.device) for moment in lower[name]] for name in _MOMENTS}
        self.lower.load({"steps": lower["steps"], **moments})


def _check_same_network(network: nn.Module, saved: Mapping[str, np.ndarray]) -> None:
    expected, found = (
        {name: tuple(value.shape) for name, value in weights.items()} for weights in (network.state_dict(), saved)
    )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            shapes = " and ".join(str(of.get(name, "none")) for of in (expected, found))
            raise SearchSpaceError(
                f"saved weights: expected those of the space's network, got another one's ({name}: {shapes}); "
                "the search space has changed since the run began: put it back, or choose another --output"
            )


def _fresh_network(spec: WorkerSpec) -> nn.Module:
    """The network with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        supernet = spec.network.get("supernet")
        if supernet:
            choices = choices_from_dict(supernet)
            network: nn.Module = Supernet(choices, relaxation=spec.relaxation, activation=spec.activation)
        else:
            network = build_network(spec.network)
    if spec.checkpointing:
        recompute_activations(network)
    if any(p.ndim == 5 for p in network.parameters()):  # measured: 1.2 to 3 times faster convolutions on a CPU
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def as_tensor(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """A tensor of its own: arrays from Ray's object store are read-only."""
    return torch.from_numpy(np.array(array)).to(device)


def _array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy()


def _copy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy().copy()
