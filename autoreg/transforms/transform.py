"""Maps of the world: where a point of the fixed image lies in the moving image.

Images travel the other way: warped(p) = moving(transform(p)) for points p of the fixed image.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import ndimage

from autoreg.shapes import Displacement
from autoreg.spatial import voxel_grid


class Transform(Protocol):
    """A map of world points."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """Points in mm, RAS+, (..., 3), of the fixed image as points of the moving image."""
        ...


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in the world.

    Attributes:
        shape: voxels by axis; two or three.
        affine: (4, 4), voxel index to world position in mm, RAS+.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    def points(self) -> np.ndarray:
        """World positions of all voxels, (*s, 3)."""
        grid = voxel_grid(self.shape, torch.zeros(1, dtype=torch.float64))[0].numpy()
        return self.to_world(np.moveaxis(grid, 0, -1))

    def to_world(self, voxels: np.ndarray) -> np.ndarray:
        """World positions (..., 3) of voxel positions (..., d)."""
        dims = len(self.shape)
        return voxels @ self.affine[:3, :dims].T + self.affine[:3, 3]

    def to_voxels(self, points: np.ndarray) -> np.ndarray:
        """Voxel positions (..., d) of world positions (..., 3); in 2-D what leads out of the plane is dropped."""
        inverse = np.linalg.inv(self.affine)[: len(self.shape)]
        return points @ inverse[:, :3].T + inverse[:, 3]


@dataclass(frozen=True)
class FieldTransform:
    """A displacement for each voxel of a grid.

    Attributes:
        geometry: the grid, that of the fixed image.
        vectors: (*s, 3) in mm, RAS+; between voxels they are interpolated linearly, beyond the grid the
            border's go on.
    """

    geometry: Geometry
    vectors: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Points in mm, RAS+, (..., 3), of the fixed image as points of the moving image."""
        voxels = np.moveaxis(self.geometry.to_voxels(points), -1, 0)
        components = np.moveaxis(self.vectors, -1, 0)
        moved = [ndimage.map_coordinates(c, voxels, order=1, mode="nearest", output=np.float64) for c in components]
        return points + np.stack(moved, axis=-1)


@dataclass(frozen=True)
class AffineTransform:
    """An affine map of the world.

    Attributes:
        matrix: (4, 4), mm, RAS+.
    """

    matrix: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Points in mm, RAS+, (..., 3), of the fixed image as points of the moving image."""
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3]


def field_of(displacement: Displacement | np.ndarray, fixed: Geometry, moving: Geometry) -> FieldTransform:
    """The transform of a displacement (1, d, *s) on the fixed grid, into voxels of the moving grid."""
    u = torch.as_tensor(displacement).detach().cpu().double()
    reached = np.moveaxis((voxel_grid(fixed.shape, u) + u)[0].numpy(), 0, -1)
    return FieldTransform(fixed, (moving.to_world(reached) - fixed.points()).astype(np.float32))


def displacement_of(transform: Transform, fixed: Geometry, moving: Geometry) -> Displacement:
    """Displacement (1, d, *s), float32, on the fixed grid into voxels of the moving grid: what `warp` takes."""
    reached = np.moveaxis(moving.to_voxels(transform.at(fixed.points())), -1, 0)
    positions = torch.from_numpy(np.ascontiguousarray(reached))[None]
    return (positions - voxel_grid(fixed.shape, positions)).float()
