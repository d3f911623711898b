"""Transforms in ITK's own files; the only module that knows SimpleITK. ITK's world is LPS+."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from autoreg.errors import DataError
from autoreg.transforms.transform import AffineTransform, FieldTransform, Geometry

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FLAT = 1e-3  # mm a voxel; what a slice of ITK may lead out of the plane of the first two world axes


def write_field(path: Path, field: FieldTransform) -> None:
    """Writes a displacement field transform, double precision.

    Raises:
        DataError: for slices that do not lie in the plane of the first two world axes, or if it cannot be written.
    """
    vectors = field.vectors.astype(np.float64) @ _TO_LPS[:3, :3]
    dims = len(field.geometry.shape)
    require_axial(path, field.geometry)
    image = _image(vectors[..., :dims], field.geometry, vector=True)
    _write(path, sitk.DisplacementFieldTransform(image))


def write_affine(path: Path, transform: AffineTransform) -> None:
    """Writes an affine transform. Raises DataError if the file cannot be written."""
    matrix = _TO_LPS @ transform.matrix @ _TO_LPS
    written = sitk.AffineTransform(3)
    written.SetMatrix(matrix[:3, :3].ravel().tolist())
    written.SetTranslation(matrix[:3, 3].tolist())
    _write(path, written)


def read(path: Path) -> FieldTransform | AffineTransform:
    """The displacement field or affine transform of a file, whoever wrote it.

    Raises:
        DataError: if the file cannot be read, or holds another kind of transform.
    """
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise DataError(f"{path}: file: expected a transform of ITK, got one that it cannot read") from error
    if transform.IsLinear():
        return AffineTransform(_TO_LPS @ _matrix(transform) @ _TO_LPS)
    concrete = transform.Downcast()
    if not isinstance(concrete, sitk.DisplacementFieldTransform):
        raise DataError(f"{path}: transform: expected a displacement field or an affine map, got {concrete.GetName()}")
    image = concrete.GetDisplacementField()
    vectors = np.moveaxis(sitk.GetArrayFromImage(image), range(image.GetDimension()), range(image.GetDimension())[::-1])
    padded = np.zeros((*vectors.shape[:-1], 3), dtype=np.float32)
    padded[..., : vectors.shape[-1]] = vectors
    return FieldTransform(Geometry(vectors.shape[:-1], _affine(image)), padded @ _TO_LPS[:3, :3].astype(np.float32))


def require_axial(path: Path, geometry: Geometry) -> None:
    """Raises DataError for a 2-D grid that ITK cannot place in its two-dimensional world."""
    tilt = np.abs(geometry.affine[2, :2]).max()
    if len(geometry.shape) == 2 and tilt > _FLAT:
        raise DataError(
            f"{path}: transform: expected a slice in the plane of the first two world axes (x, y) for ITK's 2-D "
            f"files, got one that rises by {tilt:.3g} mm a voxel; .npz holds any"
        )


def _image(values: np.ndarray, geometry: Geometry, *, vector: bool = False) -> sitk.Image:
    """An image of ITK; `values` (*s) or, for vectors, (*s, d)."""
    dims = len(geometry.shape)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(np.moveaxis(values, range(dims), range(dims)[::-1])), isVector=vector
    )
    affine = (_TO_LPS @ geometry.affine)[:dims]
    spacing = np.linalg.norm(affine[:, :dims], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:, :dims] / spacing).ravel().tolist())
    image.SetOrigin(affine[:, 3].tolist())
    return image


def _affine(image: sitk.Image) -> np.ndarray:
    """Voxels to RAS+, (4, 4), of an image of ITK."""
    dims = image.GetDimension()
    affine = np.eye(4)
    affine[:dims, :dims] = np.reshape(image.GetDirection(), (dims, dims)) * image.GetSpacing()
    affine[:dims, 3] = image.GetOrigin()
    return _TO_LPS @ affine


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """A linear transform's matrix, (4, 4), LPS+, from where it takes the origin and the ends of the axes."""
    dims = transform.GetDimension()
    corners: Sequence[np.ndarray] = [np.zeros(dims), *np.eye(dims)]
    origin, *ends = (np.array(transform.TransformPoint(corner.tolist())) for corner in corners)
    matrix = np.eye(4)
    matrix[:dims, :dims] = np.stack([end - origin for end in ends], axis=1)
    matrix[:dims, 3] = origin
    return matrix


def _write(path: Path, transform: sitk.Transform) -> None:
    try:
        sitk.WriteTransform(transform, str(path))
    except RuntimeError as error:
        raise DataError(f"{path}: file: cannot be written; is there such a folder, and room on the disk?") from error
