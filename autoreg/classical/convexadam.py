"""ConvexAdam: a discrete search on self-similarity features, then Adam on the displacement; 3-D only.

Reference: Siebert et al. 2024, arXiv:2411.17376; package convexadam.
"""

import numpy as np
import torch

from autoreg.classical.interface import Register
from autoreg.classical.optional import optional
from autoreg.errors import InputError


def convex_adam(threads: int) -> Register:
    """`convex_adam_pt` with its defaults; it works in voxels, so spacing plays no part."""
    package = optional("convexAdam.convex_adam_MIND", extra="convexadam")
    torch.set_num_threads(threads)

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        if fixed.ndim != 3:
            raise InputError(f"convexadam: dimensions: expected 3, got {fixed.ndim}")
        images = [torch.from_numpy(np.array(image, np.float32)) for image in (fixed, moving)]
        found = package.convex_adam_pt(*images, dtype=torch.float32, device=torch.device("cpu"))
        return np.moveaxis(found, -1, 0)

    return register
