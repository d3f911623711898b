"""Bilevel probabilistic feature learning: registration on features that are Gaussian, not fixed.

    upper   min_phi  Mat(F(moving) o phi, F(fixed)) + Reg(phi)        the deformation's weights
    lower   features of largest posterior, under the prior N(0, I)    the features' weights

Both are learned in turn, a step each. The terms of the search space stand for Reg and for the likelihood of the images;
the energy on features is added for the deformation alone (features that followed it would become constant), the
Kullback-Leibler divergence from the prior for the features.
The deformation is MPRNet's, so that the two systems differ in their features alone. There is no published code of
this one. Reference: Liu et al., Bilevel Probabilistic Feature Learning for Deformable Image Registration, IJCAI 2020.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoreg.networks.convolution import convolution
from autoreg.networks.learning import Learning, Turn
from autoreg.networks.mprnet import mprnet
from autoreg.networks.precision import in_float32
from autoreg.networks.registration import Registration
from autoreg.shapes import Displacement, Image
from autoreg.spatial import warp

ENERGY, KL = "feature_energy", "kl"
WEIGHTS = {ENERGY: 1.0, KL: 0.001}
LOG_VARIANCE_START = -6.0  # a deviation of 0.05, a quarter of what fresh features have: more noise would drown them


class Gaussian(NamedTuple):
    """Independent normal distributions, one a feature and voxel; without a variance, just their means."""

    mean: Image
    log_variance: Image | None

    def sample(self, generators: Sequence[torch.Generator]) -> Image:
        """mean + deviation x noise, differentiable in both; the noise of pair i comes from generator i."""
        if self.log_variance is None:
            return self.mean
        shape, dtype = self.mean.shape[1:], self.mean.dtype
        noise = torch.stack([torch.randn(shape, generator=generator, dtype=dtype) for generator in generators])
        return self.mean + (0.5 * self.log_variance).exp() * noise.to(self.mean.device)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, mean over features and voxels: (b, ...) -> (b,)."""
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).flatten(1).mean(1)


class FeatureHead(nn.Module):
    """Features of one level to their distribution."""

    def __init__(self, dims: int, channels: int, *, probabilistic: bool) -> None:
        super().__init__()
        self.mean = convolution(dims, channels, channels, 3)
        # torch's own start would halve the features, and nothing would learn from them for hundreds of steps
        nn.init.dirac_(self.mean.weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.mean.bias)  # type: ignore[arg-type]
        self.log_variance = convolution(dims, channels, channels, 3) if probabilistic else None
        if self.log_variance is not None:
            nn.init.constant_(self.log_variance.bias, LOG_VARIANCE_START)  # type: ignore[arg-type]

    def forward(self, features: Image) -> Gaussian:
        mean = in_float32(self.mean, features)
        return Gaussian(mean, None if self.log_variance is None else in_float32(self.log_variance, features))


class BPFL(nn.Module):
    """MPRNet on probabilistic features: sampled in training, their means otherwise.

    Args:
        dims: 2 or 3.
        probabilistic: False is the ablation: features have no variance, and no prior.
    """

    def __init__(self, dims: int, *, probabilistic: bool = True) -> None:
        super().__init__()
        self.pyramid = mprnet(dims)
        channels = self.pyramid.architecture.feature_channels
        self.heads = nn.ModuleList(FeatureHead(dims, c, probabilistic=probabilistic) for c in channels)
        self.learning = Learning(
            terms={name: weight for name, weight in WEIGHTS.items() if probabilistic or name != KL},
            turns=(
                Turn(weights=("pyramid.features.", "heads."), terms=(KL,)),
                Turn(weights=("pyramid.deformations.",), terms=(ENERGY,)),
            ),
        )

    @property
    def multiple(self) -> int:
        return self.pyramid.multiple

    def forward(self, fixed: Image, moving: Image, seeds: Sequence[int] = ()) -> Registration:
        """Images (b, 1, *s) in 0..1 whose sizes divide by `multiple`; in training with a seed a pair."""
        of_fixed, of_moving = (self._distributions(side) for side in self.pyramid.extract(fixed, moving))
        if not seeds:
            return self.pyramid.deform([fixed, *(g.mean for g in of_fixed)], [moving, *(g.mean for g in of_moving)])
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        samples = [[g.sample(noise) for g in side] for side in (of_fixed, of_moving)]
        registration = self.pyramid.deform([fixed, *samples[0]], [moving, *samples[1]])
        return registration._replace(own=self._own_terms(of_fixed, of_moving, registration.levels))

    def _distributions(self, features: Sequence[Image]) -> list[Gaussian]:
        return [head(level) for head, level in zip(self.heads, features, strict=True)]

    def _own_terms(
        self, fixed: list[Gaussian], moving: list[Gaussian], displacements: Sequence[Displacement]
    ) -> dict[str, Tensor]:
        levels = zip(fixed, moving, displacements, strict=True)
        own = {ENERGY: torch.stack([feature_energy(f.mean, m.mean, u) for f, m, u in levels]).mean(0)}
        if KL in self.learning.terms:
            found = [divergence(g.mean, g.log_variance) for g in (*fixed, *moving) if g.log_variance is not None]
            own[KL] = torch.stack(found).mean(0)
        return own


def feature_energy(fixed: Image, moving: Image, displacement: Displacement) -> Tensor:
    """Mean squared difference of fixed and warped moving features of one level, (b,).

    Taken between means: interpolation smooths noise, so between samples it would reward motions by half a voxel.
    """
    return (warp(moving, displacement, padding="border") - fixed).square().flatten(1).mean(1)
