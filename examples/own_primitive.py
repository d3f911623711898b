"""Your own primitive, match, cell and loss terms: a file like this, named on the command line.

    autoreg --extension examples/own_primitive.py search --set space=examples/own_space.yaml --dataset data/dataset.json

Everything that uses the result later (train, evaluate, register) takes the same `--extension`.
"""

import torch
from torch import Tensor, nn

from autoreg.losses import register_similarity, register_smoothness
from autoreg.networks import register_cell, register_match, register_primitive


@register_primitive("blur3")
def blur(dims: int, c_in: int, c_out: int, *, stride: int) -> nn.Module:
    """Mean over 3^d voxels, then a convolution of kernel 1: wide and cheap."""
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
    pool = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims]
    return nn.Sequential(pool(3, stride=stride, padding=1), convolution(c_in, c_out, 1), nn.LeakyReLU(0.2))


@register_match("product", channels=lambda features: 2 * features)
def product(fixed: Tensor, moving: Tensor) -> Tensor:
    """Fixed features, and where both agree."""
    return torch.cat([fixed, fixed * moving], dim=1)


@register_cell("residual")
class Residual(nn.Module):
    """A chain in which each edge adds to what came before, wherever channels agree."""

    def __init__(self, edges: list[nn.Module]) -> None:
        super().__init__()
        self.first, self.others = edges[0], nn.ModuleList(edges[1:])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for edge in self.others:
            out = edge(x)
            x = x + out if out.shape == x.shape else out
        return x


@register_similarity("absolute")
def absolute(fixed: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the mask, (b,)."""
    return ((fixed - warped).abs() * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


@register_smoothness("size")
def size(displacement: Tensor) -> Tensor:
    """Mean squared displacement in voxels, (b,)."""
    return (displacement**2).flatten(1).mean(1)
