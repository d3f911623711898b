"""One scan in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Volume:
    """A scan, prepared for a network, with its geometry.

    Attributes:
        key: file stem, unique within a dataset.
        image: float32, (*s), 0..1.
        foreground: uint8, (*s), 1 where the scan holds anatomy.
        labels: int16, (*s), 0 is background; None for a scan without segmentation.
        affine: float64, (4, 4), voxel index to world position in mm, RAS+.
    """

    key: str
    image: np.ndarray
    foreground: np.ndarray
    labels: np.ndarray | None
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres from one voxel to the next, one number an axis of the image."""
        columns = self.affine[:3, : self.image.ndim]
        return tuple(float(length) for length in np.linalg.norm(columns, axis=0))
