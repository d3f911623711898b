"""A user's own loss terms, beside the ones that ship."""

from collections.abc import Callable

from torch import Tensor

from autoreg.extensions import check_new
from autoreg.losses.similarity import SIMILARITIES
from autoreg.losses.smoothness import SMOOTHNESS

Term = Callable[..., Tensor]


def register_similarity(name: str) -> Callable[[Term], Term]:
    """Decorator: makes `(fixed, warped, mask) -> (b,)` a kind of loss term; images (b, 1, *s), small is alike.

    Raises:
        ValueError: the name is taken.
    """
    return _keep(SIMILARITIES, name)


def register_smoothness(name: str) -> Callable[[Term], Term]:
    """Decorator: makes `(displacement) -> (b,)` a kind of loss term; displacement (b, d, *s) in voxels of its grid.

    Raises:
        ValueError: the name is taken.
    """
    return _keep(SMOOTHNESS, name)


def _keep(registry: dict[str, Term], name: str) -> Callable[[Term], Term]:
    check_new("loss term", name, (*SIMILARITIES, *SMOOTHNESS, "dice"))

    def keep(term: Term) -> Term:
        registry[name] = term
        return term

    return keep
