"""What every peer is, once opened."""

from collections.abc import Callable

import numpy as np

Register = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(fixed, moving, affine) -> displacement: images float32 (*s) of one grid, its affine (4, 4) in mm (RAS+);
float64 (d, *s), voxels, axis order, warped(x) = moving(x + u(x))."""
