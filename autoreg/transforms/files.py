"""Transforms on disk; the form follows from the name of the file.

| name | form | read by |
|---|---|---|
| `.nii`, `.nii.gz` | displacement field, mm, LPS | ITK, ANTs, Slicer, ITK-SNAP |
| `.h5` | ITK transform | ITK, SimpleITK, ANTs, Slicer |
| `.tfm` | ITK transform as text; affine maps only | the same |
| `.fsl.nii`, `.fsl.nii.gz` | relative warp, FSL's mm | applywarp and other tools of FSL |
| `.npz` | displacement in voxels | numpy, and the only one that holds any 2-D slice |
"""

import zipfile
from pathlib import Path

import numpy as np

from autoreg.data.nifti import read_vectors, write_nifti
from autoreg.errors import DataError, InputError
from autoreg.files import result_file
from autoreg.transforms.transform import AffineTransform, FieldTransform, Geometry, displacement_of, field_of

_NAMES = ".nii.gz, .nii, .h5, .fsl.nii.gz or .npz"
_FSL_NAMES = (".fsl.nii", ".fsl.nii.gz")
_VECTOR, _FSL_FIELD = 1007, 2006  # intent codes: NIFTI_INTENT_VECTOR, FSL_FNIRT_DISPLACEMENT_FIELD
_LPS = np.array([-1.0, -1.0, 1.0], dtype=np.float32)


def check_name(path: Path) -> None:
    """Raises InputError for a name that says no form to write a field in: before the work, not after it."""
    if not path.name.endswith((".nii", ".nii.gz", ".h5", ".npz")):
        raise InputError(f"{path}: name of a transform: expected one that ends in {_NAMES}")


def write_transform(path: Path, field: FieldTransform, moving: Geometry, *, like: Path | None = None) -> None:
    """Writes a transform in the form that its name says.

    Args:
        path: ends in .nii.gz, .nii, .h5, .fsl.nii.gz, .fsl.nii or .npz.
        field: on the grid of the fixed image.
        moving: the grid of the moving image.
        like: the fixed file; a NIfTI field gets its header.

    Raises:
        InputError: for another name.
        StorageError: if the file cannot be written; what was there is untouched.
    """
    check_name(path)
    if path.suffix == ".h5":
        from autoreg.transforms import itk  # a heavy import, for this form only

        itk.write_field(path, field)
    elif path.suffix == ".npz":
        _write_native(path, field, moving)
    elif path.name.endswith(_FSL_NAMES):
        _write_fsl(path, field, moving, like)
    else:
        _write_itk_nifti(path, field, like)


def read_transform(path: Path) -> FieldTransform | AffineTransform:
    """A transform of a file that AutoReg, ITK or ANTs wrote.

    Raises:
        DataError: if the file is missing, damaged, or of another kind. FSL's fields are written only: what they mean
            depends on the moving image.
    """
    if not path.is_file():
        raise DataError(f"{path}: file: expected a transform, got nothing at this path")
    if path.name.endswith((".nii", ".nii.gz")):
        return _read_itk_nifti(path)
    if path.suffix == ".npz":
        return _read_native(path)
    from autoreg.transforms import itk  # a heavy import, for these forms only

    return itk.read(path)


def _write_itk_nifti(path: Path, field: FieldTransform, like: Path | None) -> None:
    """A point of the fixed image plus its vector is the point of the moving image: (X, Y, Z, 1, 3), (X, Y, 1, 1, 2)."""
    shape, dims = field.geometry.shape, len(field.geometry.shape)
    if dims == 2:
        from autoreg.transforms.itk import require_axial  # ITK's rule for slices stays with what is known of ITK

        require_axial(f"{path}: transform", field.geometry)
    vectors = (field.vectors * _LPS)[..., :dims].astype(np.float32)
    vectors = vectors.reshape(*shape, *[1] * (4 - dims), dims)
    write_nifti(path, vectors, field.geometry.affine, like=like, intent=_VECTOR)


def _read_itk_nifti(path: Path) -> FieldTransform:
    if path.name.endswith(_FSL_NAMES):
        raise DataError(f"{path}: file: expected a transform of ITK or AutoReg, got one for FSL, which is written only")
    vectors, affine = read_vectors(path)
    dims = vectors.shape[-1]
    padded = np.zeros((*vectors.shape[:-1], 3), dtype=np.float32)
    padded[..., :dims] = vectors
    return FieldTransform(Geometry(vectors.shape[:-1], affine), padded * _LPS)


def _write_fsl(path: Path, field: FieldTransform, moving: Geometry, like: Path | None) -> None:
    """(X, Y, Z, 3): from a fixed to a moving position, each in mm of its own voxels, x turned round where the
    affine keeps right and left (determinant above 0).

    Reference: FSL, documentation of FNIRT and applywarp (relative warps).
    """
    fixed = field.geometry
    if len(fixed.shape) != 3:
        raise DataError(f"{path}: transform: expected a 3-D pair for FSL, got {len(fixed.shape)}-D images")
    start, end = fixed.points(), fixed.points() + field.vectors
    vectors = _fsl_mm(moving, moving.to_voxels(end)) - _fsl_mm(fixed, fixed.to_voxels(start))
    write_nifti(path, vectors.astype(np.float32), fixed.affine, like=like, intent=_FSL_FIELD)


def _fsl_mm(geometry: Geometry, voxels: np.ndarray) -> np.ndarray:
    if np.linalg.det(geometry.affine[:3, :3]) > 0:
        voxels = np.concatenate([geometry.shape[0] - 1 - voxels[..., :1], voxels[..., 1:]], axis=-1)
    return voxels * np.linalg.norm(geometry.affine[:3, :3], axis=0)


def _write_native(path: Path, field: FieldTransform, moving: Geometry) -> None:
    """displacement (d, *s) as everywhere in AutoReg, and both geometries."""
    displacement = displacement_of(field, field.geometry, moving)[0].numpy()
    with result_file(path) as file:
        np.savez_compressed(
            file,  # type: ignore[arg-type]
            displacement=displacement,
            fixed_affine=field.geometry.affine,
            moving_affine=moving.affine,
            moving_shape=np.array(moving.shape),
        )


def _read_native(path: Path) -> FieldTransform:
    try:
        with np.load(path, allow_pickle=False) as content:
            displacement = content["displacement"]
            fixed = Geometry(displacement.shape[1:], content["fixed_affine"])
            moving = Geometry(tuple(content["moving_shape"].tolist()), content["moving_affine"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: file: expected a transform of AutoReg (.npz), got another file") from error
    return field_of(displacement[None], fixed, moving)
