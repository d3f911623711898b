"""Activations computed again on the way back instead of kept: the same values, less memory, one more forward pass."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Found = TypeVar("Found")


def run_part(part: Callable[..., Found], *inputs: Any, recomputes: bool) -> Found:
    """part(*inputs); with `recomputes` only inputs and output are kept, and `part` runs again on the way back.

    All that `part` depends on besides weights must be among the inputs. Not torch's reentrant kind, which has no second
    derivative.
    """
    if recomputes and torch.is_grad_enabled():
        return checkpoint(part, *inputs, use_reentrant=False)
    return part(*inputs)
