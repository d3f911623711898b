"""Several convolutions of one input, summed, as fewer convolutions.

A convolution is linear in its kernel, so sum_i g_i conv(x, W_i) = conv(x, sum_i g_i W_i) once the kernels lie on one
grid of taps. A kernel joins another only where all its taps are among the other's (conv1 in any, conv3 in conv5,
dilated 3 in conv5 or in dilated 5): then no product is added and passes over the volume are saved. Dilated kernels
spread to a dense one would cost more than they save (13^3 = 2197 taps for a dilated 7, which has 343).
"""

from collections.abc import Sequence
from functools import lru_cache

from torch import Tensor, nn

from autoreg.networks.convolution import convolve

Convolution = nn.Conv2d | nn.Conv3d


def merged_sum(x: Tensor, convolutions: Sequence[Convolution], weights: Sequence[Tensor]) -> list[Tensor]:
    """Outputs whose sum is sum_i weights[i] * convolutions[i](x); one output a group of merged kernels.

    All convolutions have the same channels and stride and keep the grid.
    """
    taps = tuple((c.kernel_size[0], c.dilation[0]) for c in convolutions)
    return [_one(x, [(convolutions[i], weights[i]) for i in group]) for group in groups(taps)]


@lru_cache(maxsize=256)
def groups(taps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], ...]:
    """Which of (kernel, dilation) go together; the first of a group holds the taps of all its members."""
    found: list[list[int]] = []
    for index in sorted(range(len(taps)), key=lambda i: -taps[i][0]):
        host = next((group for group in found if _within(taps[index], taps[group[0]])), None)
        if host is None:
            found.append([index])
        else:
            host.append(index)
    return tuple(map(tuple, found))


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    (k, d), (size, spacing) = inner, outer
    return k == 1 or (d % spacing == 0 and (k // 2) * d <= (size // 2) * spacing)


def _one(x: Tensor, members: Sequence[tuple[Convolution, Tensor]]) -> Tensor:
    (host, weight), *others = members
    kernel = weight * host.weight
    bias = None if host.bias is None else weight * host.bias
    for convolution, weight in others:
        kernel[_place(convolution, host)] += weight * convolution.weight
        if convolution.bias is not None:
            own = weight * convolution.bias
            bias = own if bias is None else bias + own
    return convolve(x, kernel, bias, host.stride, host.padding, host.dilation)  # type: ignore[arg-type]


def _place(inner: Convolution, host: Convolution) -> tuple[slice, ...]:
    """Where the inner kernel lies in the host's."""
    step = max(inner.dilation[0] // host.dilation[0], 1)
    middle, reach = host.kernel_size[0] // 2, inner.kernel_size[0] // 2 * step
    taps = slice(middle - reach, middle + reach + 1, step)
    return (slice(None), slice(None), *[taps] * len(host.kernel_size))
