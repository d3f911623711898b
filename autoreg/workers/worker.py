"""One worker: it holds the weights and the volumes, trains, and differentiates the upper objectives.

A plain class. The local pool calls it in this process, the Ray pool makes it an actor.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from autoreg.data.shards import open_cache
from autoreg.extensions import load_extensions
from autoreg.networks import Costs, Supernet, build_network, choices_from_dict, measure_costs
from autoreg.registration.objective import Objective
from autoreg.registration.problem import RegistrationProblem, Shard, UpperObjective
from autoreg.registration.score import register_pair, score_pair
from autoreg.trilevel import LowerStep, Round, solve_round
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec

COLLECTIVE_SECONDS = 600


class Worker:
    """Worker `rank` of `count`; with more than one, `join` must come first.

    Args:
        spec: the same for every worker of the pool.
    """

    def __init__(self, spec: WorkerSpec, rank: int = 0, count: int = 1) -> None:
        load_extensions(spec.extensions)
        torch.set_num_threads(spec.threads)
        self.spec, self.rank, self.count = spec, rank, count
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = _fresh_network(spec).to(self.device)
        self.volumes = open_cache(spec.cache)
        self.problem = RegistrationProblem(
            self.network,
            objective=Objective(spec.terms, spec.labels),
            volumes=self.volumes,
            samplers=spec.samplers,
            batch_size=spec.batch_size,
            shard=Shard(rank, count),
            relaxation=spec.relaxation,
            seed=spec.seed,
            augment=spec.augment,
            device=self.device,
        )
        self.lower = LowerStep(self.problem.weights, betas=spec.betas, clip=spec.clip)

    def join(self, rendezvous: str, rank: int, count: int) -> None:
        """Enter the process group of the pool; `rendezvous` is host:port of rank 0."""
        self.leave()
        self.rank, self.count = rank, count
        self.problem.shard = Shard(rank, count)
        if count > 1:
            dist.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo",
                init_method=f"tcp://{rendezvous}",
                rank=rank,
                world_size=count,
                timeout=timedelta(seconds=COLLECTIVE_SECONDS),
            )

    def leave(self) -> None:
        """Leave the process group, also one that a lost worker has broken."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def run_round(self, task: RoundTask) -> RoundReport:
        """Train K steps and report this worker's share. Raises DivergedError."""
        start = time.perf_counter()
        self.problem.upper = UpperObjective(self.spec.upper_level, task.prices)
        alpha = None if task.alpha is None else _tensor(task.alpha, self.device)
        parts = solve_round(
            self.problem,
            self.lower,
            Round(
                index=task.index,
                first_step=task.first_step,
                learning_rates=task.learning_rates,
                loss_weights=_tensor(task.loss_weights, self.device),
                alpha=alpha,
                update_alpha=task.update_alpha,
                update_loss_weights=task.update_loss_weights,
                alpha_estimator=task.alpha_estimator,
                loss_weights_estimator=task.loss_weights_estimator,
                horizon=task.horizon,
                alpha_step=task.alpha_step,
            ),
            self._sum_over_workers,
        )
        return RoundReport(
            index=task.index,
            rank=self.rank,
            terms=parts.terms.cpu().numpy(),
            alpha_direct=_array(parts.alpha_direct),
            alpha_indirect=_array(parts.alpha_indirect),
            architecture_terms=_array(parts.architecture_terms),
            loss_weights_gradient=_array(parts.loss_weights_gradient),
            loss_weights_through_alpha=_array(parts.loss_weights_through_alpha),
            upper=parts.upper,
            refused=parts.refused,
            seconds=time.perf_counter() - start,
        )

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Score rows of this worker's share of the pairs: every `count`-th from `rank`."""
        own = list(pairs)[self.rank :: self.count]
        self.network.eval()
        rows = []
        for pair in own:
            displacement = register_pair(self.network, self.volumes, pair, device=self.device)
            rows.append(score_pair(displacement, self.volumes, pair, self.spec.labels))
        self.network.train()
        return rows

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        """This worker's share of R_val for each alpha and batch, (alphas, steps)."""
        weights = _tensor(loss_weights, self.device)
        shares = np.zeros((len(alphas), len(steps)))
        with torch.inference_mode():
            for row, alpha in enumerate(alphas):
                for column, step in enumerate(steps):
                    terms = self.problem.architecture_terms(_tensor(alpha, self.device), step)
                    shares[row, column] = float(terms.to(weights) @ weights)
        return shares

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        """What the choices of the supernet cost on this device, for images of this shape once padded."""
        choices = choices_from_dict(self.spec.network["supernet"])
        multiple = choices.largest.multiple
        padded = [-(-n // multiple) * multiple for n in image_shape]
        with torch.random.fork_rng(devices=[]):
            return measure_costs(choices, padded, self.device)

    def state(self) -> State:
        """A copy of weights and moments, the same on every worker."""
        weights = {name: _copy(value) for name, value in self.network.state_dict().items()}
        lower = self.lower.state()
        moments = {k: [_copy(t) for t in v] if isinstance(v, list) else v for k, v in lower.items()}
        return {"weights": weights, "lower": moments}

    def load(self, state: State) -> None:
        """Continue from a `state()`."""
        self.network.load_state_dict({k: _tensor(v, self.device) for k, v in state["weights"].items()})
        lower = {
            k: [_tensor(t, self.device) for t in v] if isinstance(v, list) else v for k, v in state["lower"].items()
        }
        self.lower.load(lower)

    def _sum_over_workers(self, tensors: Sequence[Tensor]) -> None:
        """All-reduce in one message: few large messages cost less than many small ones."""
        if self.count == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


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
    if any(p.ndim == 5 for p in network.parameters()):  # measured: 1.2 to 3 times faster convolutions on a CPU
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def _tensor(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """A tensor of its own: arrays from Ray's object store are read-only."""
    return torch.from_numpy(np.array(array)).to(device)


def _array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy()


def _copy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy().copy()
