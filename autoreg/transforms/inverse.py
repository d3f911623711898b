"""The way back: from the moving image to the fixed."""

import numpy as np
import torch

from autoreg.spatial import solve_positions
from autoreg.transforms.transform import FieldTransform, Geometry


def inverse_of(field: FieldTransform, moving: Geometry) -> FieldTransform:
    """The inverse, on the grid of the moving image; where the field folds there is none, and it is the nearest."""
    fixed = field.geometry
    u = fixed.to_voxels(fixed.points() + field.vectors) - fixed.to_voxels(fixed.points())
    points = moving.points()
    targets = fixed.to_voxels(points)
    found = solve_positions(_channels_first(u), _channels_first(targets))
    vectors = fixed.to_world(np.moveaxis(found[0].double().numpy(), 0, -1)) - points
    return FieldTransform(moving, vectors.astype(np.float32))


def inverse_error_mm(field: FieldTransform, inverse: FieldTransform) -> np.ndarray:
    """Distance from start to end of the way there and back, (n,), for the moving voxels that the fixed grid covers."""
    points = inverse.geometry.points()
    back = inverse.at(points)
    at = field.geometry.to_voxels(back)
    inside = ((at >= 0) & (at <= np.array(field.geometry.shape) - 1)).all(axis=-1)
    start, end = points[inside], field.at(back[inside])
    plane = inverse.geometry  # in 2-D what leads out of the plane is no error
    return np.linalg.norm(plane.to_world(plane.to_voxels(end)) - plane.to_world(plane.to_voxels(start)), axis=-1)


def _channels_first(vectors: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(vectors, -1, 0))).float()[None]
