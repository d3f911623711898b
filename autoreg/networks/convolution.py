"""Convolutions, and two ways around slow ones of torch on a CPU. The values are those of torch's own convolution.

Torch hands a single volume (batch 1) with a small kernel and few voxels to a routine that is three to seven times
slower than oneDNN's, forwards and backwards; the rule is `use_mkldnn` in its ATen/native/Convolution.cpp. Cut in two
halves that overlap by the kernel's reach, the volume is a batch of 2, which oneDNN gets. And a convolution with kernel
1 is a product of matrices, half as costly as one. Figures: docs/performance.md.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEFT_TO_SLOW = 20480
"""Torch's: a batch, channel and all axes but the last with no more elements than this are for the slow routine."""
_WORTH_CUTTING = 1000
"""Output voxels from which halves are faster than the slow routine."""


class Conv3d(nn.Conv3d):
    """torch.nn.Conv3d, by `convolve`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[arg-type]


CONVOLUTIONS = {2: nn.Conv2d, 3: Conv3d}


def convolution(dims: int, c_in: int, c_out: int, kernel: int, **options: object) -> nn.Module:
    """A convolution in 2-D or 3-D: odd kernels keep the grid at stride 1; they and kernel 4 halve it at stride 2."""
    dilation = int(options.get("dilation", 1))  # type: ignore[call-overload]
    return CONVOLUTIONS[dims](c_in, c_out, kernel, padding=dilation * ((kernel - 1) // 2), **options)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Tensor:
    """torch.nn.functional.conv2d or conv3d of a batch (b, c_in, *s), by the fastest way."""
    if x.ndim == 5 and groups == 1 and x.device.type == "cpu" and not torch.compiler.is_compiling():
        if _is_product(weight, stride, padding):
            return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        if _left_to_slow(x, weight, stride):
            return _in_halves(x, weight, bias, stride, padding, dilation)
    function = F.conv2d if x.ndim == 4 else F.conv3d
    return function(x, weight, bias, tuple(stride), tuple(padding), tuple(dilation), groups)


def _is_product(weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> bool:
    return prod(weight.shape[2:]) == 1 and prod(stride) == 1 and not any(padding)


def _left_to_slow(x: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    small = prod(x.shape[:-1]) <= _LEFT_TO_SLOW and prod(x.shape[2:]) >= _WORTH_CUTTING * prod(stride)
    return small and len(x) == 1 and x.dtype == torch.float32 and max(weight.shape[-2:]) <= 3


def _in_halves(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The first and the second half of the output along the first axis, each from what it sees, as a batch of 2."""
    step, margin, reach = stride[0], padding[0], dilation[0] * (weight.shape[2] - 1) + 1
    slices = (x.shape[2] + 2 * margin - reach) // step + 1
    half = -(-slices // 2)
    seen = (half - 1) * step + reach
    behind = max(half * step + seen - x.shape[2] - margin, 0)  # an odd number of slices: one more, cut off again
    padded = F.pad(x, (0, 0, 0, 0, margin, behind))
    halves = torch.cat([padded[:, :, :seen], padded[:, :, half * step : half * step + seen]])
    first, second = F.conv3d(halves, weight, bias, tuple(stride), (0, *padding[1:]), tuple(dilation)).split(1)
    return torch.cat([first, second[:, :, : slices - half]], dim=2)
