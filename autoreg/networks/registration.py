"""The pyramid registration network: features of both images, then a displacement from coarse to fine.

One class for the supernet and for every derived network: only what sits on the edges differs.
Reference: Liu et al., arXiv:2004.14557 (pyramid), Fan et al., arXiv:2203.06810 (cells and edges).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import CELLS, Edge
from autoreg.networks.convolution import convolution
from autoreg.networks.matching import COARSER, FINER, VIEWS
from autoreg.networks.precision import in_float32
from autoreg.networks.recomputing import run_part
from autoreg.shapes import Displacement, Image, Velocity
from autoreg.spatial import compose, halve, integrate, resize_displacement, resize_image, warp

EdgeFactory = Callable[[Edge], nn.Module]
HEAD_KERNEL = 3
Found = TypeVar("Found")


class Registration(NamedTuple):
    """What a network returns for a pair."""

    displacement: Displacement
    """On the grid of the images."""
    levels: tuple[Displacement, ...]
    """The displacement on each level's grid, half grid first."""
    own: Mapping[str, Tensor] = MappingProxyType({})
    """In training, the network's own terms by name, each (b,); see `networks.learning`."""


class Refine(nn.Module):
    """Residual regularisation of a velocity by dilated convolutions. Reference: arXiv:2004.14557, module R."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(dims, dims, 48, 3),
            nn.LeakyReLU(0.1),
            convolution(dims, 48, 48, 3, dilation=2),
            nn.LeakyReLU(0.1),
            convolution(dims, 48, 32, 3, dilation=4),
            nn.LeakyReLU(0.1),
            convolution(dims, 32, dims, 3),
        )
        _start_near_zero(self.layers[-1])

    def forward(self, velocity: Velocity) -> Velocity:
        return velocity + in_float32(self.layers[-1], self.layers[:-1](velocity))


class DeformationCell(nn.Module):
    """What a level sees to a velocity, and decoder features for the finer level."""

    def __init__(self, architecture: Architecture, level: int, make_edge: EdgeFactory) -> None:
        super().__init__()
        edges = [make_edge(edge) for edge in architecture.deformation_cell(level)]
        self.chain = CELLS[architecture.cell].build(edges)  # whatever the cell, its name in model files
        self.head = convolution(architecture.dims, *head_channels(architecture, level), HEAD_KERNEL)
        _start_near_zero(self.head)
        self.refine = Refine(architecture.dims) if architecture.refine else nn.Identity()
        self.sums = architecture.composition == "sum"

    def forward(self, seen: Image, coarser: Sequence[Tensor] = ()) -> tuple[Velocity, Image]:
        """`coarser`: displacement and decoder features of the coarser level on this grid, where there is one."""
        decoded = self.chain(seen)
        velocity = in_float32(self.head, decoded)
        if self.sums and coarser:
            velocity = velocity + coarser[0]
        return self.refine(velocity), decoded


def head_channels(architecture: Architecture, level: int) -> tuple[int, int]:
    """Channels into and out of the convolution that ends a deformation cell."""
    return architecture.channels_of_deformation(level)[-1], architecture.dims


CellFactory = Callable[[Architecture, int, EdgeFactory], DeformationCell]


class RegistrationNetwork(nn.Module):
    """Displacement from a fixed and a moving image.

    Args:
        architecture: structure, all but the choice on the edges.
        make_edge: gives the module of an edge: a primitive, or a mixed operation when searching.
        make_cell: gives the deformation cell of a level; another one when structure is searched.
    """

    recomputes = False
    """Whether activations within a cell, and within an integration, are computed again on the way back."""

    def __init__(
        self, architecture: Architecture, make_edge: EdgeFactory, make_cell: CellFactory = DeformationCell
    ) -> None:
        super().__init__()
        self.architecture = architecture
        levels = range(1, architecture.levels + 1)
        build = CELLS[architecture.cell].build
        self.features = nn.ModuleList(
            build([make_edge(edge) for edge in architecture.feature_cell(level)]) for level in levels
        )
        self.deformations = nn.ModuleList(make_cell(architecture, level, make_edge) for level in levels)

    @property
    def multiple(self) -> int:
        """Image sizes must divide by this."""
        return self.architecture.multiple

    def forward(self, fixed: Image, moving: Image) -> Registration:
        """Images (b, 1, *s) in 0..1 whose sizes divide by `multiple`; displacements in voxels of their grids."""
        of_fixed, of_moving = self.extract(fixed, moving)
        return self.deform([fixed, *of_fixed], [moving, *of_moving])

    def deform(self, fixed: Sequence[Image], moving: Sequence[Image]) -> Registration:
        """From both images, each followed by its features, half grid first."""
        levels: list[Displacement] = []
        coarser: list[Tensor] = []
        for level in range(self.architecture.levels, 0, -1):
            if coarser:
                coarser = self._to_finer(coarser, tuple(fixed[level].shape[2:]))
            near = slice(level - 1, level + 1)
            displacement, decoded = coarser[:1], coarser[1:]
            for _ in range(self.architecture.passes_of(level)):  # each with the coarser level's decoder features
                seen = (*fixed[near], *moving[near], *displacement, *coarser[1:])
                velocity, *decoded = self._run(partial(self._look, level), *seen)
                displacement = [self._run(self._displace, velocity, *displacement)]
            levels.insert(0, displacement[0])
            coarser = [*displacement, *decoded]
        full = resize_displacement(levels[0], tuple(fixed[0].shape[2:]))
        if self.architecture.composition == "legacy":  # the original integrates the displacement once more
            full = self._run(self._displace, full)
        return Registration(full, tuple(levels))

    def extract(self, fixed: Image, moving: Image) -> tuple[list[Image], list[Image]]:
        """Features of both images by shared weights, one map a level."""
        pooled = self.architecture.downsampling == "pooled"
        features = torch.cat([fixed, moving])
        pyramid = []
        for index, cell in enumerate(self.features):
            if pooled:  # keeps voxel centres where `spatial.pyramid` has them, and loses nothing of the image
                features = halve(features) if index else space_to_depth(features)
            features = self._run(cell, features)
            pyramid.append(features)
        halves = [f.chunk(2) for f in pyramid]
        return [h[0] for h in halves], [h[1] for h in halves]

    def _run(self, part: Callable[..., Found], *inputs: Tensor) -> Found:
        return run_part(part, *inputs, recomputes=self.recomputes)

    def _look(
        self, level: int, finer_fixed: Image, fixed: Image, finer_moving: Image, moving: Image, *coarser: Tensor
    ) -> tuple[Velocity, Image]:
        """Velocity and decoder features of a level."""
        seen = self._seen(level, (finer_fixed, fixed), (finer_moving, moving), coarser)
        return self.deformations[level - 1](seen, coarser)

    def _displace(self, velocity: Velocity, *coarser: Displacement) -> Displacement:
        displacement = integrate(velocity, steps=self.architecture.integration_steps)
        if coarser and self.architecture.composition == "compose":
            displacement = compose(coarser[0], displacement)
        return displacement

    def _seen(self, level: int, fixed: Sequence[Image], moving: Sequence[Image], coarser: Sequence[Tensor]) -> Image:
        """All inputs of a deformation cell as channels; moving maps are warped by the displacement so far.

        `fixed` and `moving`: maps of the next finer grid and of the level's own.
        """

        def warped(image: Image) -> Image:
            return warp(image, coarser[0], padding="border") if coarser else image

        f, m = fixed[1], warped(moving[1])
        parts: list[Image] = []
        for name in self.architecture.inputs_of(level):
            if name in VIEWS:
                parts.append(VIEWS[name].of(f, m))
            elif name == FINER:
                parts += [warped(halve(moving[0])), halve(fixed[0])]
            else:
                parts.append(coarser[COARSER.index(name)])
        return torch.cat(parts, dim=1)

    @staticmethod
    def _to_finer(coarser: list[Tensor], shape: tuple[int, ...]) -> list[Tensor]:
        displacement, decoded = coarser
        return [resize_displacement(displacement, shape), resize_image(decoded, shape)]


def space_to_depth(image: Image) -> Image:
    """The 2^d voxels of every cell of the half grid as channels: (b, c, *s) -> (b, c 2^d, *s / 2)."""
    b, c, *shape = image.shape
    dims = len(shape)
    split = image.reshape(b, c, *[n for size in shape for n in (size // 2, 2)])
    order = [0, 1, *range(3, 3 + 2 * dims, 2), *range(2, 2 + 2 * dims, 2)]
    return split.permute(order).reshape(b, c * 2**dims, *[n // 2 for n in shape])


def _start_near_zero(layer: nn.Module) -> None:
    """The first displacement is close to the identity; exactly zero would stop the gradient behind it."""
    nn.init.normal_(layer.weight, std=1e-5)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
