"""Small problems with derivatives known on paper, and small volumes, shared by the tests of several rooms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoreg.data.volume import Volume
from autoreg.spatial import voxel_grid
from autoreg.trilevel import Output


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@dataclass(frozen=True)
class QuadraticBilevel:
    """l_i(w) = sum_j d_ij (w_j - c_ij)^2 / 2 below, S(w) = |w - t|^2 / 2 above; diagonal, so solved by hand.

    w*(lambda)_j = sum_i lambda_i d_ij c_ij / h_j  with  h_j = sum_i lambda_i d_ij,
    dS/dlambda_i = - sum_j (w*_j - t_j) d_ij (w*_j - c_ij) / h_j.
    """

    curvature: Tensor
    centre: Tensor
    target: Tensor

    @classmethod
    def random(cls, terms: int = 3, size: int = 5) -> "QuadraticBilevel":
        return cls(normal(terms, size, seed=0).exp(), normal(terms, size, seed=1), normal(size, seed=2))

    def hessian(self, lambda_: Tensor) -> Tensor:
        """Its diagonal."""
        return lambda_ @ self.curvature

    def solution(self, lambda_: Tensor) -> Tensor:
        return lambda_ @ (self.curvature * self.centre) / self.hessian(lambda_)

    def term_gradients(self, w: Tensor) -> Tensor:
        return self.curvature * (w - self.centre)

    def upper(self, w: Tensor) -> Tensor:
        return 0.5 * (w - self.target).square().sum()

    def hypergradient(self, lambda_: Tensor) -> Tensor:
        w = self.solution(lambda_)
        return -self.term_gradients(w) @ ((w - self.target) / self.hessian(lambda_))


class QuadraticProblem:
    """A `QuadraticBilevel` in two weight tensors, placed at w; architecture terms are the training terms."""

    def __init__(self, toy: QuadraticBilevel, w: Tensor) -> None:
        self.toy = toy
        self.weights = [w[:2].clone().requires_grad_(), w[2:].clone().requires_grad_()]

    def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        return self._terms(self.weights)

    def train_output(self, alpha: Tensor | None, step: int) -> Output:
        return Output([w * 1 for w in self.weights], self._terms)

    def _terms(self, weights: Sequence[Tensor]) -> Tensor:
        return 0.5 * (self.toy.curvature * (torch.cat(list(weights)) - self.toy.centre) ** 2).sum(1)

    architecture_terms = step_terms = train_terms

    def loss_weights_objective(self, alpha: Tensor | None, step: int) -> tuple[Tensor, dict[str, float]]:
        return self.toy.upper(torch.cat(self.weights)), {}


class ToyTriLevel:
    """Three levels in closed form, cubic in the weights; each batch is made of `pairs` noise vectors.

    With the residual r = w - c_i - M_i alpha - noise of term i:  l_i = sum (d_i r^2 / 2 + k_i r^3 / 6),
    S = |w - t|^2 / 2 + 0.1 sum w^4 + w . N alpha. grad_alpha l_i is quadratic in w, so a central
    difference of it is exact. Shard: every `count`-th pair from `index`, divided by all pairs.
    """

    terms, size = 3, 6
    alpha_shape = (2, 2)

    def __init__(self, *, pairs: int = 4, index: int = 0, count: int = 1) -> None:
        self.pairs, self.index, self.count = pairs, index, count
        start = normal(self.size, seed=10)
        self._weights = [start[:2].clone().requires_grad_(), start[2:].view(2, 2).clone().requires_grad_()]
        self.d = normal(self.terms, self.size, seed=11).exp()
        self.k = 0.3 * normal(self.terms, 1, seed=12)
        self.c = normal(self.terms, self.size, seed=13)
        self.m = 0.5 * normal(self.terms, self.size, 4, seed=14)
        self.n = normal(self.size, 4, seed=15)
        self.t = normal(self.size, seed=16)

    @property
    def weights(self) -> list[Tensor]:
        return self._weights

    def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        output = self.train_output(alpha, step)
        return output.terms(output.values)

    def step_terms(self, alpha: Tensor | None, step: int) -> Tensor:
        return self.train_terms(alpha, step)

    def train_output(self, alpha: Tensor | None, step: int) -> Output:
        return Output([self._residual(alpha, self._noise(1000 + step))], self._terms_of)

    def architecture_terms(self, alpha: Tensor, step: int) -> Tensor:
        return self._terms_of([self._residual(alpha, 1 + self._noise(2000 + step))])

    def loss_weights_objective(self, alpha: Tensor | None, step: int) -> tuple[Tensor, dict[str, float]]:
        w = self._flat() - self._noise(3000 + step)
        each = 0.5 * (w - self.t).square().sum(1) + 0.1 * w.pow(4).sum(1)
        if alpha is not None:
            each = each + w @ (self.n @ alpha.flatten())
        value = each.sum() / self.pairs
        return value, {"objective": float(value.detach())}

    def _residual(self, alpha: Tensor | None, noise: Tensor) -> Tensor:
        """(own pairs, terms, size)"""
        shift = self.c if alpha is None else self.c + self.m @ alpha.flatten()
        return self._flat() - shift - noise[:, None]

    def _terms_of(self, residuals: Sequence[Tensor]) -> Tensor:
        (r,) = residuals
        return (0.5 * self.d * r**2 + self.k * r**3 / 6).sum(dim=(0, 2)) / self.pairs

    def _noise(self, seed: int) -> Tensor:
        return 0.3 * normal(self.pairs, self.size, seed=seed)[self.index :: self.count]

    def _flat(self) -> Tensor:
        return torch.cat([w.flatten() for w in self._weights])


def volume(key: str, space: Sequence[int], *, seed: int, labelled: bool = True) -> Volume:
    """A smooth random image of 0..1 in its whole field of view, with labels 1 and 2 where it is low and high."""
    noise = torch.rand(1, 1, *[-(-n // 2) + 1 for n in space], generator=seeded(seed))
    mode = {2: "bilinear", 3: "trilinear"}[len(space)]
    image = torch.nn.functional.interpolate(noise, size=tuple(space), mode=mode)[0, 0].numpy()
    labels = (1 * (image < 0.35) + 2 * (image > 0.65)).astype(np.int16)
    return Volume(key, image, np.ones(space, np.uint8), labels if labelled else None, np.eye(4))


class FixedPairs:
    """A sampler that goes round a list of pairs."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def batch(self, step: int, size: int) -> list[tuple[str, str]]:
        return [self.pairs[(step * size + i) % len(self.pairs)] for i in range(size)]


def linear_field(space: tuple[int, ...], matrix: torch.Tensor) -> torch.Tensor:
    """u(x) = A (x - centre)."""
    centre = torch.tensor([(n - 1) / 2 for n in space], dtype=torch.float64)
    grid = voxel_grid(space, matrix) - centre.view(1, -1, *[1] * len(space))
    return torch.einsum("ac,bc...->ba...", matrix, grid)


def small_matrix(dims: int) -> torch.Tensor:
    return 0.1 * torch.randn(dims, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(dims))


def smooth_velocity(space: tuple[int, ...], amplitude: float) -> torch.Tensor:
    """Components that vanish at the border, so that nothing leaves the volume."""
    grid = voxel_grid(space, torch.zeros(1, dtype=torch.float64))
    scaled = [torch.pi * grid[:, a] / (n - 1) for a, n in enumerate(space)]
    bump = torch.stack([s.sin() for s in scaled]).prod(0)
    return amplitude * torch.stack([bump * (s + a).cos() for a, s in enumerate(scaled)], dim=1)


def middle(field: torch.Tensor) -> torch.Tensor:
    return field[(..., *[slice(n // 3, -(n // 3)) for n in field.shape[2:]])]
