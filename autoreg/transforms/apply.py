"""A written transform applied to an image, a label map or landmarks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoreg.data.content import note_on_image, note_on_labels
from autoreg.data.nifti import read_geometry, read_image, read_labels, write_nifti
from autoreg.errors import DataError, InputError
from autoreg.files import result_file
from autoreg.registration.score import warp_labels
from autoreg.spatial import warp
from autoreg.transforms.files import read_transform
from autoreg.transforms.points import move_points, read_points
from autoreg.transforms.transform import FieldTransform, Geometry, Transform, displacement_of


def resample(
    image: np.ndarray, moving: Geometry, transform: Transform, fixed: Geometry, *, labels: bool = False
) -> np.ndarray:
    """A moving image on the fixed grid, (*s): linear, float32; label maps nearest neighbour, int16; 0 outside."""
    displacement = displacement_of(transform, fixed, moving)
    if labels:
        return warp_labels(image, displacement)
    return warp(torch.from_numpy(image.astype(np.float32))[None, None], displacement)[0, 0].numpy()


def apply_file(
    transform_path: Path, path: Path, output: Path, *, reference: Path | None = None, labels: bool = False
) -> dict[str, Any]:
    """Applies a transform to an image, a label map (nearest neighbour) or landmarks (.csv); returns what to tell.

    An image comes from moving to fixed space, onto the grid of `reference` or else of the transform. Landmarks
    go from fixed to moving space; where they are counted in voxels, `reference` is the moving image.

    Raises:
        InputError: if a file cannot be used, or does not fit to the others.
        StorageError: if the result cannot be written.
    """
    transform = read_transform(transform_path)
    if path.suffix == ".csv":
        return _apply_to_points(transform, path, output, reference)
    values, affine = (read_labels if labels else read_image)(path)
    moving = Geometry(values.shape, affine)
    fixed = _fixed(transform_path, transform, reference)
    for name, geometry in ((path, moving), (reference or transform_path, fixed)):
        if isinstance(transform, FieldTransform) and len(geometry.shape) != len(transform.geometry.shape):
            expected = f"{len(transform.geometry.shape)} as the transform's"
            raise DataError(f"{name}: dimensions: expected {expected}, got {len(geometry.shape)}")
    if len(moving.shape) != len(fixed.shape):
        raise DataError(f"{path}: dimensions: expected {len(fixed.shape)} as the reference's, got {len(moving.shape)}")
    seen = resample(values, moving, transform, fixed, labels=labels)
    if values.any() and not seen.any():
        raise DataError(f"{path}: affine: expected an image that meets the reference in the world, got one outside")
    write_nifti(output, seen, fixed.affine, like=reference)
    note = note_on_labels(path, values) if labels else note_on_image(path, values)
    if note and not labels:
        note += "; --labels takes the nearest voxel instead of mixing numbers"
    told = {"written": output, "interpolation": "nearest" if labels else "linear"}
    return told | ({"note": note} if note else {})


def _apply_to_points(transform: Transform, path: Path, output: Path, reference: Path | None) -> dict[str, Any]:
    moving = Geometry(*read_geometry(reference)) if reference else None
    try:
        moved = move_points(read_points(path), transform, moving)
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    with result_file(output) as file:
        file.write(moved.to_csv(index=False).encode())
    return {"written": output, "points": len(moved), "direction": "from the fixed to the moving image"}


def _fixed(path: Path, transform: Transform, reference: Path | None) -> Geometry:
    if reference:
        return Geometry(*read_geometry(reference))
    if isinstance(transform, FieldTransform):
        return transform.geometry
    raise InputError(f"{path}: --reference: expected an image that says the grid, as an affine transform has none")
