"""What is timed: ours, the plainest way to write the same, and peers where they are installed. Needs torch and numpy.

A case gives, for a size and a device, contenders by name; each is a function that does the work once. The first is
ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoreg.losses.similarity import lncc
from autoreg.losses.smoothness import diffusion
from autoreg.networks import build_network, computing_in, recompute_activations
from autoreg.registration.objective import displacement_at
from autoreg.spatial import halve, integrate, warp

WINDOW = 9
FEATURES = (16, 32, 32, 32)
"""Of VoxelMorph's U-Net, as published; four halvings, which the sizes here allow."""
Work = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """A pair of random images with a mask and a smooth field, on a device."""

    fixed: Tensor
    moving: Tensor
    mask: Tensor
    displacement: Tensor

    @classmethod
    def make(cls, shape: tuple[int, ...], device: torch.device) -> "Pair":
        generator = torch.Generator().manual_seed(0)
        fixed, moving = (torch.rand(1, 1, *shape, generator=generator) for _ in range(2))
        coarse = torch.randn(1, len(shape), *[max(n // 8, 2) for n in shape], generator=generator)
        mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
        field = F.interpolate(coarse, size=shape, mode=mode, align_corners=True)
        return cls(*(t.to(device) for t in (fixed, moving, torch.ones_like(fixed), field)))


def similarity(pair: Pair) -> Iterator[tuple[str, Work]]:
    """Local correlation of an image that has a gradient, forwards and backwards."""
    warped = pair.moving.clone().requires_grad_()

    def through(term: Callable[[], Tensor]) -> Work:
        def work() -> None:
            warped.grad = None
            term().backward()

        return work

    yield "autoreg", through(lambda: lncc(pair.fixed, warped, pair.mask, window=WINDOW).mean())
    yield "dense box kernel", through(lambda: _dense_lncc(pair.fixed, warped))
    if find_spec("monai"):
        from monai.losses import LocalNormalizedCrossCorrelationLoss

        theirs = LocalNormalizedCrossCorrelationLoss(spatial_dims=pair.fixed.ndim - 2, kernel_size=WINDOW)
        yield "MONAI", through(lambda: theirs(warped, pair.fixed))
    if find_spec("neurite"):
        from neurite.nn.modules import NCC

        ncc = NCC(window_size=WINDOW)
        yield "VoxelMorph", through(lambda: -ncc(pair.fixed, warped).mean())


def warping(pair: Pair) -> Iterator[tuple[str, Work]]:
    """One warp of an image, without gradients."""

    def without(term: Callable[[], Tensor]) -> Work:
        return lambda: torch.no_grad()(term)()

    yield "autoreg", without(lambda: warp(pair.moving, pair.displacement))
    yield "plain", without(lambda: _plain_warp(pair.moving, pair.displacement))
    if find_spec("voxelmorph"):
        from voxelmorph.nn.modules import SpatialTransformer

        yield "VoxelMorph", without(lambda: SpatialTransformer()(pair.moving, pair.displacement))


def integration(pair: Pair) -> Iterator[tuple[str, Work]]:
    """Seven squarings of a velocity, forwards and backwards."""
    velocity = pair.displacement.clone().requires_grad_()

    def through(term: Callable[[], Tensor]) -> Work:
        def work() -> None:
            velocity.grad = None
            term().square().mean().backward()

        return work

    yield "autoreg", through(lambda: integrate(velocity, steps=7))
    yield "plain", through(lambda: _plain_integrate(velocity, 7))
    if find_spec("voxelmorph"):
        from voxelmorph.nn.modules import IntegrateVelocityField

        theirs = IntegrateVelocityField(steps=7)
        yield "VoxelMorph", through(lambda: theirs(velocity))


def training(pair: Pair) -> Iterator[tuple[str, Work]]:
    """One step of Adam on local correlation and smoothness: network, warp, loss, backwards, update."""
    dims = pair.fixed.ndim - 2
    cheaper = {
        "autoreg, bfloat16": _compact(dims, level=1, precision="bfloat16"),
        "autoreg, activations recomputed": _compact(dims, level=1, recomputes=True),
    }
    for name, system in (_systems(pair) | cheaper).items():
        system.network.to(pair.fixed.device)
        yield name, trained(system, pair)


def registration(pair: Pair) -> Iterator[tuple[str, Work]]:
    """Network and warp without gradients."""
    for name, system in _systems(pair).items():
        yield name, _registered(system, pair)


CASES: dict[str, Callable[[Pair], Iterator[tuple[str, Work]]]] = {
    "similarity": similarity,
    "warp": warping,
    "integration": integration,
    "training step": training,
    "registration": registration,
}


@dataclass(frozen=True)
class System:
    """A network with what it is used for."""

    network: nn.Module
    register: Callable[[Pair], Tensor]
    """The warped image."""
    loss: Callable[[Pair], Tensor]


def _systems(pair: Pair) -> dict[str, System]:
    dims = pair.fixed.ndim - 2
    found = {
        "autoreg, conv3 everywhere, loss on the half grid": _compact(dims, level=1),
        "autoreg, conv3 everywhere, loss on the whole grid": _compact(dims, level=0),
    }
    if find_spec("voxelmorph"):
        found["VoxelMorph's package"] = _voxelmorph(dims)
    else:
        found["VoxelMorph from its description"] = our_system({"name": "voxelmorph", "architecture": {"dims": dims}}, 0)
    for system in found.values():
        system.network.to(pair.fixed.device)
    return found


def _compact(dims: int, *, level: int, precision: str = "float32", recomputes: bool = False) -> System:
    """The architecture of search_spaces/compact.yaml, which may not be read here: its reader is no part of the core."""
    architecture = {
        "dims": dims,
        "feature_channels": [8, 16, 32],
        "feature_edges": 2,
        "deformation_channels": [32, 16, 16],
        "downsampling": "pooled",
    }
    system = our_system({"name": "all-conv3", "architecture": architecture}, level, precision=precision)
    if recomputes:
        recompute_activations(system.network)
    return system


def our_system(description: dict[str, object], level: int, *, precision: str = "float32") -> System:
    network = build_network(description)
    if description["architecture"]["dims"] == 3:  # type: ignore[index]
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    window = WINDOW if level == 0 else WINDOW // 2 + 1

    def loss(pair: Pair) -> Tensor:
        with computing_in(precision, pair.fixed.device):
            found = network(pair.fixed, pair.moving)
        displacement = displacement_at(found, level)
        fixed, moving, mask = (halve(t, times=level) for t in (pair.fixed, pair.moving, pair.mask))
        return (lncc(fixed, warp(moving, displacement), mask, window=window) + diffusion(displacement)).mean()

    return System(network, lambda pair: warp(pair.moving, network(pair.fixed, pair.moving).displacement), loss)


def _voxelmorph(dims: int) -> System:
    """The package's network with its default integration, its local correlation and its smoothness."""
    from neurite.nn.modules import NCC, SpatialGradient
    from voxelmorph.nn.models import VxmPairwise

    network = VxmPairwise(ndim=dims, source_channels=1, target_channels=1, nb_features=FEATURES)
    ncc, gradient = NCC(window_size=WINDOW), SpatialGradient("l2")

    def both(pair: Pair) -> tuple[Tensor, Tensor]:
        return network(pair.moving, pair.fixed, return_warped_source=True)

    def loss(pair: Pair) -> Tensor:
        displacement, warped = both(pair)
        return gradient(displacement) - ncc(pair.fixed, warped).mean()

    return System(network, lambda pair: both(pair)[1], loss)


def trained(system: System, pair: Pair) -> Work:
    optimiser = torch.optim.Adam(system.network.parameters(), lr=1e-4)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        system.loss(pair).backward()
        optimiser.step()

    return work


def _registered(system: System, pair: Pair) -> Work:
    return lambda: torch.inference_mode()(system.register)(pair)


def _dense_lncc(fixed: Tensor, warped: Tensor) -> Tensor:
    """Local correlation as most programs write it: sums by a dense box kernel."""
    dims = fixed.ndim - 2
    convolve = {2: F.conv2d, 3: F.conv3d}[dims]
    kernel = torch.ones(1, 1, *[WINDOW] * dims, dtype=fixed.dtype, device=fixed.device)
    count = float(WINDOW**dims)
    i, j, ii, jj, ij = (
        convolve(x, kernel, padding=WINDOW // 2)
        for x in (fixed, warped, fixed * fixed, warped * warped, fixed * warped)
    )
    cross = ij - i * j / count
    return 1 - (cross * cross / ((ii - i * i / count) * (jj - j * j / count) + 1e-5)).mean()


def _plain_warp(moving: Tensor, displacement: Tensor) -> Tensor:
    shape = moving.shape[2:]
    axes = torch.meshgrid(*[torch.arange(n, dtype=moving.dtype) for n in shape], indexing="ij")
    positions = torch.stack(axes)[None].to(moving.device) + displacement
    scaled = [2 * positions[:, i] / (n - 1) - 1 for i, n in enumerate(shape)]
    return F.grid_sample(moving, torch.stack(scaled[::-1], -1), align_corners=True)


def _plain_integrate(velocity: Tensor, steps: int) -> Tensor:
    displacement = velocity / 2**steps
    for _ in range(steps):
        displacement = displacement + _plain_warp(displacement, displacement)
    return displacement
