"""What a deformation cell sees, by name: views of two feature maps, and what other cells and levels give it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from autoreg.extensions import check_new
from autoreg.shapes import Image


@dataclass(frozen=True)
class View:
    """A way of looking at the features of both images."""

    of: Callable[[Image, Image], Image]
    """(fixed, warped moving) features, (b, f, *s) each -> (b, channels(f), *s)."""
    channels: Callable[[int], int]
    """Channels of that, for so many feature channels."""


def _cost(fixed: Image, moving: Image) -> Tensor:
    """L1 distance of the features. Reference: Liu et al., arXiv:2004.14557, module M."""
    return (fixed - moving).abs().sum(1, keepdim=True)


VIEWS: dict[str, View] = {
    "moving": View(lambda fixed, moving: moving, lambda f: f),
    "fixed": View(lambda fixed, moving: fixed, lambda f: f),
    "cost": View(_cost, lambda f: 1),
}
COARSER = ("displacement", "decoded")
"""From the next coarser level, if there is one: the displacement so far, and what its deformation cell's edges gave."""
FINER = "finer"
"""Features of the next finer level, warped moving and fixed, averaged to this grid; at the finest level the images."""

MATCHES: dict[str, tuple[str, ...]] = {
    "concat": ("moving", "fixed"),
    "cost": ("cost", "fixed"),
    "concat+cost": ("cost", "moving", "fixed"),
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
        VIEWS[name] = View(join, channels)
        MATCHES[name] = (name,)
        return join

    return keep
