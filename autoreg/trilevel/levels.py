"""The three nested problems, without any knowledge of images.

    lambda* = argmin  S_val(omega*, alpha*)                    loss weights, highest
    alpha*  = argmin  R_val(omega*(alpha), alpha; lambda)      architecture
    omega*  = argmin  R_train(omega; alpha, lambda)            weights, lowest

The lower objective is linear in lambda: R = sum_i lambda_i l_i. A problem therefore gives the vector of
terms l, and everything about lambda follows from it. Reference: method of Fan et al., arXiv:2203.06810.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Reduce = Callable[[Sequence[Tensor]], None]
"""Sums tensors over all workers in place."""


@dataclass(frozen=True)
class Output:
    """What the lower terms see of the weights: l = terms(values), and the weights are in `values` alone.

    For a registration network these are the displacements: tensors that are small beside the weights' graph.
    """

    values: Sequence[Tensor]
    terms: Callable[[Sequence[Tensor]], Tensor]


class TriLevelProblem(Protocol):
    """One worker's share of the three objectives.

    Every value is a sum over the pairs of this worker's shard divided by the size of the global batch,
    so that summing over workers gives the mean over the global batch however it was split.
    """

    @property
    def weights(self) -> Sequence[Tensor]:
        """omega: leaf tensors that require gradients; estimators may move them and must put them back."""
        ...

    def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        """l(omega, alpha) on the training batch of this step, shape (terms,)."""
        ...

    def step_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        """The same for a step that no upper level looks at: it may be computed in less precision."""
        ...

    def train_output(self, alpha: Tensor | None, step: int) -> Output:
        """`train_terms` in two parts, for estimators that go through the network once for all terms."""
        ...

    def architecture_terms(self, alpha: Tensor, step: int) -> Tensor:
        """These terms on pairs held out for alpha, shape (terms,)."""
        ...

    def loss_weights_objective(self, alpha: Tensor | None, step: int) -> tuple[Tensor, dict[str, float]]:
        """S(omega, alpha) on labelled pairs held out for lambda, and the parts it is made of."""
        ...


def no_reduce(tensors: Sequence[Tensor]) -> None:
    """The sum over one worker."""


def vector_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm over all tensors together."""
    return torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt()


def gradients(
    value: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    *,
    along: Sequence[Tensor] | None = None,
    retain: bool = False,
    create: bool = False,
) -> list[Tensor]:
    """Gradients of a scalar; zeros where an input does not take part (an operation that was not sampled).

    Args:
        along: instead, of sum <value_k, along_k> for tensors of any shape, some of which may be constant.
        retain: keep the graph for another pass.
        create: make the gradients themselves differentiable.
    """
    if along is not None:
        reached = [(v, a) for v, a in zip(value, along, strict=True) if v.requires_grad]
        value, along = [v for v, _ in reached], [a for _, a in reached]
    found: tuple[Any, ...] = torch.autograd.grad(
        value, list(inputs), along, retain_graph=retain or create, create_graph=create, allow_unused=True
    )
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def place(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Write values into the weights, in place."""
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)


@contextmanager
def held_at(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Generator[None, None, None]:
    """The weights have these values inside; afterwards they are bit for bit what they were, also when it fails."""
    kept = [w.detach().clone() for w in weights]
    try:
        place(weights, values)
        yield
    finally:
        place(weights, kept)
