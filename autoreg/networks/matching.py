"""What a deformation cell sees of two feature maps. Shapes: (b, f, *s), (b, f, *s) -> (b, channels(f), *s)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autoreg.extensions import check_new
from autoreg.shapes import Image


@dataclass(frozen=True)
class Match:
    """A way of matching."""

    join: Callable[[Image, Image], Image]
    """(fixed, warped moving) features -> what the cell sees."""
    channels: Callable[[int], int]
    """Channels of that, for so many feature channels."""


def _cost(fixed: Image, moving: Image) -> Tensor:
    """L1 distance of the features. Reference: Liu et al., arXiv:2004.14557, module M."""
    return (fixed - moving).abs().sum(1, keepdim=True)


MATCHES: dict[str, Match] = {
    "concat": Match(lambda fixed, moving: torch.cat([moving, fixed], dim=1), lambda f: 2 * f),
    "cost": Match(lambda fixed, moving: torch.cat([_cost(fixed, moving), fixed], dim=1), lambda f: f + 1),
    "concat+cost": Match(
        lambda fixed, moving: torch.cat([_cost(fixed, moving), moving, fixed], dim=1), lambda f: 2 * f + 1
    ),
}


def register_match(
    name: str, *, channels: Callable[[int], int]
) -> Callable[[Callable[[Image, Image], Image]], Callable[[Image, Image], Image]]:
    """Decorator: makes a function (fixed, moving features) -> (b, channels(f), *s) a `match` of architectures.

    Raises:
        ValueError: the name is taken.
    """
    check_new("match", name, MATCHES)

    def keep(join: Callable[[Image, Image], Image]) -> Callable[[Image, Image], Image]:
        MATCHES[name] = Match(join, channels)
        return join

    return keep
