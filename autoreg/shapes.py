"""Names of tensors with their axes, for signatures.

`b` batch, `c` channels, `d` number of space dimensions (2 or 3), `*s` the space axes (i, j[, k]).
"""

from typing import Annotated

from torch import Tensor

Image = Annotated[Tensor, "b c *s"]
"""Intensities or feature maps."""

Mask = Annotated[Tensor, "b 1 *s"]
"""1 inside the foreground, 0 outside."""

Labels = Annotated[Tensor, "b 1 *s integer"]
"""Label numbers, 0 is background."""

OneHot = Annotated[Tensor, "b labels *s"]
"""One channel a label, values 0..1."""

Displacement = Annotated[Tensor, "b d *s"]
"""Voxels of the grid it lives on; warped(x) = moving(x + u(x)); components in axis order."""

Velocity = Annotated[Tensor, "b d *s"]
"""Stationary velocity field, voxels per unit time, components in axis order."""

Scalar = Annotated[Tensor, ""]
