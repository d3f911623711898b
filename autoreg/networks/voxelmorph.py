"""VoxelMorph, plain and diffeomorphic, from its published description; the peer everyone compares with.

Reference: Balakrishnan et al. 2019, arXiv:1809.05231; Dalca et al. 2019, arXiv:1903.03545.
"""

from itertools import pairwise

import torch
from torch import nn

from autoreg.networks.convolution import convolution
from autoreg.networks.precision import in_float32
from autoreg.networks.primitives import SLOPE
from autoreg.networks.registration import Registration
from autoreg.shapes import Image
from autoreg.spatial import integrate, resize_displacement

ENCODER = (16, 32, 32, 32)
DECODER = (32, 32, 32, 32)
FINAL = (32, 16, 16)


class VoxelMorph(nn.Module):
    """A U-Net on the stacked pair; with `integration_steps` its output is a velocity on the half grid."""

    multiple = 2 ** len(ENCODER)

    def __init__(self, dims: int = 3, *, integration_steps: int = 0) -> None:
        super().__init__()
        self.integration_steps = integration_steps
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims](2)
        self.activation = nn.LeakyReLU(SLOPE)
        widths = (2, *ENCODER)
        self.encoder = nn.ModuleList(convolution(dims, a, b, 3) for a, b in pairwise(widths))
        skips = (0, *reversed(ENCODER[1:]))
        inputs = (ENCODER[-1], *DECODER[:-1])
        self.decoder = nn.ModuleList(
            convolution(dims, a + s, b, 3) for a, s, b in zip(inputs, skips, DECODER, strict=True)
        )
        widths = (DECODER[-1] + ENCODER[0], *FINAL)
        self.final = nn.ModuleList(convolution(dims, a, b, 3) for a, b in pairwise(widths))
        self.head = convolution(dims, FINAL[-1], dims, 3)
        nn.init.normal_(self.head.weight, std=1e-5)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, fixed: Image, moving: Image) -> Registration:
        """Images (b, 1, *s) in 0..1 whose sizes divide by 16."""
        x = torch.cat([moving, fixed], dim=1)
        skips = []
        for layer in self.encoder:
            x = self.activation(layer(x))
            skips.append(x)
            x = self.pool(x)
        for layer in self.decoder:
            x = self.activation(layer(x))
            skip = skips.pop()
            x = torch.cat([nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
        for layer in self.final:
            x = self.activation(layer(x))
        return self._registration(in_float32(self.head, x))

    def _registration(self, out: torch.Tensor) -> Registration:
        full = tuple(out.shape[2:])
        half = tuple(n // 2 for n in full)
        if not self.integration_steps:
            return Registration(out, (resize_displacement(out, half),))
        # the velocity is resampled as a field: values in voxels of the grid it lives on
        velocity = resize_displacement(out, half)
        displacement = integrate(velocity, steps=self.integration_steps)
        return Registration(resize_displacement(displacement, full), (displacement,))
