"""What stays in float32 where a network runs under autocast."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

PRECISIONS = ("float32", "bfloat16")
"""float16 is not among them: it has not float32's range, so gradients would have to be scaled."""


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where convolutions and products of matrices run in a precision of `PRECISIONS`; weights stay as they are."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """layer(x) in float32 at least, also under autocast: for layers whose output is a motion or a distribution.

    bfloat16 keeps 8 bits, so a motion of ten voxels would come in steps of a sixteenth, which smoothness and
    determinants see.
    """
    if not torch.is_autocast_enabled(x.device.type):
        return layer(x)
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(torch.promote_types(x.dtype, torch.float32)))
