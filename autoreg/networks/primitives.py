"""The operations an edge may hold. Shapes: (b, c_in, *s) -> (b, c_out, *s / stride).

Reference: Fan et al., AutoReg, arXiv:2203.06810 (the operation list); counts of weights follow its code.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from autoreg.extensions import check_new
from autoreg.networks.convolution import convolution

SLOPE = 0.2  # of every LeakyReLU in features and deformation cells


class Activated(nn.Sequential):
    """Layers of which the last is LeakyReLU: what comes before it may be summed first and activated once."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers, nn.LeakyReLU(SLOPE, inplace=True))

    @property
    def convolution(self) -> nn.Conv2d | nn.Conv3d | None:
        """The one convolution before the activation, where that is all."""
        first = self[0]
        return first if len(self) == 2 and isinstance(first, (nn.Conv2d, nn.Conv3d)) else None

    def forward(self, x: Tensor, inner: Tensor | None = None) -> Tensor:
        return self[-1](self.before_activation(x, inner))

    def before_activation(self, x: Tensor, inner: Tensor | None = None) -> Tensor:
        """All but the last layer. `inner`: (c_in,) factors of inner channels that stand for input channels."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


class Conv(Activated):
    """Convolution without bias, LeakyReLU."""

    def __init__(self, dims: int, c_in: int, c_out: int, *, stride: int, kernel: int) -> None:
        super().__init__(convolution(dims, c_in, c_out, kernel, stride=stride, bias=False))


class SeparableConv(Activated):
    """Full convolution c_in x c_in, LeakyReLU, depthwise convolution, pointwise convolution, LeakyReLU.

    Despite its name the heaviest of its kernel size: the first convolution is dense.
    """

    def __init__(self, dims: int, c_in: int, c_out: int, *, stride: int, kernel: int) -> None:
        super().__init__(
            convolution(dims, c_in, c_in, kernel, bias=False),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(dims, c_in, c_in, kernel, stride=stride, groups=c_in, bias=False),
            convolution(dims, c_in, c_out, 1, bias=False),
        )

    def before_activation(self, x: Tensor, inner: Tensor | None = None) -> Tensor:
        dense, activation, depthwise, pointwise, _ = self
        x = activation(dense(x))
        return pointwise(depthwise(x if inner is None else x * over_channels(inner, x)))


class DilatedConv(Activated):
    """Dilated convolution with bias, LeakyReLU."""

    def __init__(self, dims: int, c_in: int, c_out: int, *, stride: int, kernel: int, dilation: int = 2) -> None:
        super().__init__(convolution(dims, c_in, c_out, kernel, stride=stride, dilation=dilation, bias=True))


def over_channels(factors: Tensor, like: Tensor) -> Tensor:
    """(c,) as something to multiply (b, c, *s) with."""
    return factors.to(like).view(-1, *[1] * (like.ndim - 2))


PRIMITIVES: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "conv1": (Conv, 1),
    "conv3": (Conv, 3),
    "conv5": (Conv, 5),
    "conv7": (Conv, 7),  # for the all-conv7 network; not in the paper's list of eight
    "sep3": (SeparableConv, 3),
    "sep5": (SeparableConv, 5),
    "dil3": (DilatedConv, 3),
    "dil5": (DilatedConv, 5),
    "dil7": (DilatedConv, 7),
    "dil3x8": (partial(DilatedConv, dilation=8), 3),  # of a published feature cell; not in the list of eight either
}
"""Name -> (builder, kernel size)."""


def register_primitive(name: str) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: makes `build(dims, c_in, c_out, *, stride) -> Module` a primitive of search spaces and genotypes.

    The module maps (b, c_in, *s) to (b, c_out, *s / stride). Direct children that are convolutions get He's
    initialisation, as ours do.

    Raises:
        ValueError: the name is taken.
    """
    check_new("primitive", name, PRIMITIVES)

    def keep(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def build_one_size(dims: int, c_in: int, c_out: int, *, stride: int, kernel: int) -> nn.Module:
            return build(dims, c_in, c_out, stride=stride)

        PRIMITIVES[name] = (build_one_size, 0)
        return build

    return keep


def make_primitive(name: str, dims: int, c_in: int, c_out: int, *, stride: int = 1) -> nn.Module:
    """The named operation as a module. KeyError for a name not in `PRIMITIVES` (checked where names are read)."""
    build, kernel = PRIMITIVES[name]
    return keeping_scale(build(dims, c_in, c_out, stride=stride, kernel=kernel))


def keeping_scale(module: nn.Module) -> nn.Module:
    """The module, with convolutions among its direct children at a start that keeps the scale of activations.

    torch's default shrinks activations at every layer; a chain of cells then starts on a plateau of hundreds of
    steps. Reference: He et al., arXiv:1502.01852, equation 15.
    """
    for layer in module.children():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


USUAL = "conv3"
"""What people put on every edge."""


def usual_primitive(primitives: Sequence[str]) -> str:
    """conv3 where it is among them, else the first."""
    return USUAL if USUAL in primitives else primitives[0]


def weight_count(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
