"""What a deformation cell sees, by name: views of two feature maps, and what other cells and levels give it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autoreg.extensions import check_new
from autoreg.shapes import Image


@dataclass(frozen=True)
class View:
    """A way of looking at the features of both images."""

    of: Callable[[Image, Image], Image]
    """(fixed, warped moving) features, (b, f, *s) each -> (b, channels(f), *s)."""
    channels: Callable[[int, int], int]
    """Channels of that, for so many feature channels in so many dimensions."""


def _cost(fixed: Image, moving: Image) -> Tensor:
    """L1 distance of the features. Reference: Liu et al., arXiv:2004.14557, module M."""
    return (fixed - moving).abs().sum(1, keepdim=True)


FORCE_FLOOR = 1e-3
"""Added to squares of slopes and differences, so that where both are 0, as in background, there is no force."""


def _force(fixed: Image, moving: Image) -> Tensor:
    """The demons force of the features, in voxels: where intensities and slopes say that moving features come from.

    With d = fixed - moving and J the slopes of their mean, sum_c d_c J_c / (sum_c |J_c|^2 + d_c^2): half a voxel at
    most for one channel.

    Reference: Thirion, doi:10.1016/S1361-8415(98)80022-4; symmetric slopes as in Vercauteren et al.,
    doi:10.1016/j.neuroimage.2008.10.040.
    """
    difference, mean = fixed - moving, (fixed + moving) / 2
    slopes = [_slope(mean, axis) for axis in range(2, mean.dim())]
    squares = sum((part.square().sum(1, keepdim=True) for part in (difference, *slopes)), FORCE_FLOOR)
    return torch.cat([(difference * slope).sum(1, keepdim=True) for slope in slopes], dim=1) / squares


def _slope(image: Image, axis: int) -> Image:
    """Central differences; the border's voxel stands for the one beyond it."""
    n = image.shape[axis]
    after = torch.cat([image.narrow(axis, 1, n - 1), image.narrow(axis, n - 1, 1)], dim=axis)
    before = torch.cat([image.narrow(axis, 0, 1), image.narrow(axis, 0, n - 1)], dim=axis)
    return (after - before) / 2


VIEWS: dict[str, View] = {
    "moving": View(lambda fixed, moving: moving, lambda f, dims: f),
    "fixed": View(lambda fixed, moving: fixed, lambda f, dims: f),
    "cost": View(_cost, lambda f, dims: 1),
    "force": View(_force, lambda f, dims: dims),
}
COARSER = ("displacement", "decoded")
"""From the next coarser level, if there is one: the displacement so far, and what its deformation cell's edges gave."""
FINER = "finer"
"""Features of the next finer level, warped moving and fixed, averaged to this grid; at the finest level the images."""

MATCHES: dict[str, tuple[str, ...]] = {
    "concat": ("moving", "fixed"),
    "cost": ("cost", "fixed"),
    "concat+cost": ("cost", "moving", "fixed"),
    "concat+force": ("force", "moving", "fixed"),
}
"""Name -> views that a deformation cell sees, in the order of their channels."""


def known_inputs() -> tuple[str, ...]:
    """Everything that a deformation cell may see."""
    return (*VIEWS, *COARSER, FINER)


def register_match(
    name: str, *, channels: Callable[[int], int]
) -> Callable[[Callable[[Image, Image], Image]], Callable[[Image, Image], Image]]:
    """Decorator: makes a function (fixed, moving features) -> (b, channels(f), *s) a `match` of architectures.

    It is an input of deformation cells by the same name, too.

    Raises:
        ValueError: the name is taken.
    """
    check_new("match", name, (*MATCHES, *known_inputs()))

    def keep(join: Callable[[Image, Image], Image]) -> Callable[[Image, Image], Image]:
        VIEWS[name] = View(join, lambda features, dims: channels(features))
        MATCHES[name] = (name,)
        return join

    return keep
