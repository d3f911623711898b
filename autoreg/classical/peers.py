"""The classical peers by name, and what each must return."""

import difflib
import warnings
from collections.abc import Callable

import numpy as np

from autoreg.classical import ants, convexadam, elastix, fireants, niftyreg
from autoreg.classical.interface import Register
from autoreg.errors import AutoRegError, InputError

PEERS: dict[str, Callable[[int], Register]] = {
    "ants": ants.syn,
    "elastix": elastix.affine_and_splines,
    "niftyreg": niftyreg.free_form,
    "convexadam": convexadam.convex_adam,
    "fireants": fireants.greedy,
}
"""What opens a peer for so many threads. Raises InputError when its package or program is absent."""


def open_peer(name: str, *, threads: int = 1) -> Register:
    """A peer ready to register on the CPU; its package is imported here, not within the first registration.

    Raises:
        InputError: no such peer, or its package or program is absent; says how to install it. The peer itself
            raises it for images that it cannot take, and AutoRegError for a field that is none.

    Example:
        displacement = open_peer("ants")(fixed, moving, np.eye(4))
    """
    if name not in PEERS:
        close = difflib.get_close_matches(name, PEERS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"classical: expected one of {', '.join(PEERS)}, got {name!r}{hint}")
    opened = PEERS[name](threads)

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        if fixed.shape != moving.shape:
            raise InputError(f"{name}: shape: expected one grid for both images, got {fixed.shape} and {moving.shape}")
        with warnings.catch_warnings():  # about the peer's own code; no user can act on them
            warnings.simplefilter("ignore")
            displacement = opened(fixed, moving, affine)
        if displacement.shape != (fixed.ndim, *fixed.shape) or not np.isfinite(displacement).all():
            raise AutoRegError(f"{name}: expected a finite displacement on {fixed.shape}, got {displacement.shape}")
        return displacement

    return register
