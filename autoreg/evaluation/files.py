"""Two files registered, their headers respected: what comes back lies on the fixed file's grid."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from autoreg.data.content import note_on_image, note_on_labels
from autoreg.data.dataset import DataConfig
from autoreg.data.nifti import read_image, read_labels, write_nifti
from autoreg.data.prepare import normalise
from autoreg.errors import DataError
from autoreg.registration.batch import PairBatch, Side
from autoreg.registration.model import Model
from autoreg.registration.refine import register_batch
from autoreg.registration.score import warp_labels
from autoreg.shapes import Displacement
from autoreg.spatial import pad_to_multiple, voxel_grid, warp
from autoreg.transforms import files as transforms
from autoreg.transforms.inverse import inverse_error_mm, inverse_of
from autoreg.transforms.transform import FieldTransform, Geometry, field_of

Grid = Literal["auto", "headers", "voxels"]

_TOLERANCE = 1e-3  # of affine entries: what writing them as float32 or quaternions costs
_FLAT = 1e-9  # determinant of a map that loses an axis; thick slices on fine ones still have 1e-4


@dataclass(frozen=True)
class FileRegistration:
    """Two registered files.

    Attributes:
        displacement: (1, d, *s) on the fixed grid, into voxels of the moving file as it is on disk:
            warped(x) = moving(x + u(x)), the affine part included.
        fixed_path: the file whose geometry results get.
        fixed_affine: its voxel-to-world matrix, (4, 4), mm.
        moving: raw intensities, float32.
        moving_affine: voxel-to-world matrix of the moving file.
        grid: what matched the two before the network: "headers" or "voxels".
        seconds: resampling, padding, network and refinement; no file, no preparation.
        moving_path: the file whose geometry the inverse gets.
        notes: what looks wrong with the files, and is allowed.
    """

    displacement: Displacement
    fixed_path: Path
    fixed_affine: np.ndarray
    moving: np.ndarray
    moving_affine: np.ndarray
    grid: Literal["headers", "voxels"]
    seconds: float
    moving_path: Path
    notes: tuple[str, ...] = ()

    @property
    def fixed_geometry(self) -> Geometry:
        """Grid of the fixed file."""
        return Geometry(tuple(self.displacement.shape[2:]), self.fixed_affine)

    @property
    def moving_geometry(self) -> Geometry:
        """Grid of the moving file."""
        return Geometry(self.moving.shape, self.moving_affine)


def register_files(
    model: Model,
    fixed_path: str | Path,
    moving_path: str | Path,
    *,
    grid: Grid = "auto",
    refine: int = 0,
    device: torch.device,
) -> FileRegistration:
    """The moving file registered to the fixed file; neither has to be prepared.

    Args:
        grid: how the two match before the network. "headers": by their positions in the world, so shape,
            spacing and axes may differ. "voxels": index by index, for files whose headers mean nothing.
            "auto": headers, unless the model was trained on files with differing affines and these two
            agree in shape and in all but the origin.
        refine: steps of instance optimisation on this pair.
        device: where the model is.

    Raises:
        InputError: with `refine`, if the model does not carry what that needs.
        DataError: if a file cannot be used, the dimensions are not the model's, the shapes differ (voxels),
            or the images do not meet in the world (headers).

    Example:
        registration = register_files(model, "fixed.nii.gz", "moving.nii.gz", device=torch.device("cpu"))
        write_warped(registration, "warped.nii.gz")
    """
    fixed_path, moving_path = Path(fixed_path), Path(moving_path)
    fixed, fixed_affine = read_image(fixed_path)
    moving, moving_affine = read_image(moving_path)
    for path, image in ((fixed_path, fixed), (moving_path, moving)):
        _check_dims(model, path, image.ndim)
    if grid == "auto":
        grid = _suitable_grid(model, (fixed.shape, fixed_affine), (moving.shape, moving_affine))
    if grid == "voxels" and fixed.shape != moving.shape:
        raise DataError(
            f"{moving_path}: shape: expected {fixed.shape} as {fixed_path} (grid voxels), got {moving.shape}"
        )
    to_moving = np.eye(fixed.ndim + 1)
    if grid == "headers":
        to_moving = _in_plane(np.linalg.inv(moving_affine) @ fixed_affine, fixed.ndim)
        if abs(np.linalg.det(to_moving)) < _FLAT:  # only in 2-D: the slices stand upright on each other
            raise DataError(f"{moving_path}: affine: expected a slice parallel to {fixed_path}, got one across it")
    fixed_side = _prepare(model, fixed, fixed_path, device)
    moving_side = _prepare(model, moving, moving_path, device)
    started = time.perf_counter()
    displacement = _register(model, fixed_side, moving_side, torch.from_numpy(to_moving).float().to(device), refine)
    seconds = time.perf_counter() - started
    if displacement is None:
        raise DataError(
            f"{moving_path}: affine: expected an image that meets {fixed_path} in the world, got one outside"
        )
    notes = (note_on_image(fixed_path, fixed), note_on_image(moving_path, moving))
    return FileRegistration(
        displacement,
        fixed_path,
        fixed_affine,
        moving,
        moving_affine,
        grid,
        seconds,
        moving_path,
        notes=tuple(note for note in notes if note),
    )


def register_arrays(model: Model, fixed: np.ndarray, moving: np.ndarray, *, refine: int = 0) -> Displacement:
    """Displacement (1, d, *s) in voxels of two images of one grid, matched voxel by voxel, on the CPU.

    Args:
        fixed: raw intensities, (*s), any size; `moving` the same.
        refine: steps of instance optimisation on this pair.

    Raises:
        DataError: if the shapes differ, the dimensions are not the model's, or an image is constant.
    """
    if fixed.shape != moving.shape:
        raise DataError(f"moving: shape: expected the fixed image's {fixed.shape}, got {moving.shape}")
    device = next(model.network.parameters()).device
    for name, image in (("fixed", fixed), ("moving", moving)):
        _check_dims(model, name, image.ndim)
        if not np.isfinite(image).all():
            raise DataError(f"{name}: voxels: expected finite numbers, got NaN or infinity")
    to_moving = torch.eye(fixed.ndim + 1, device=device)
    fixed_side, moving_side = _prepare(model, fixed, "fixed", device), _prepare(model, moving, "moving", device)
    displacement = _register(model, fixed_side, moving_side, to_moving, refine)
    assert displacement is not None  # one grid: the moving image is where the fixed is
    return displacement


def write_warped(registration: FileRegistration, path: str | Path) -> None:
    """Writes the raw moving image, interpolated once, as float32 with the fixed file's geometry; 0 outside."""
    moving = torch.from_numpy(registration.moving)[None, None]
    _write(registration, path, warp(moving, registration.displacement)[0, 0].numpy())


def write_warped_labels(registration: FileRegistration, labels_path: str | Path, path: str | Path) -> str | None:
    """Writes a label map of the moving file, nearest neighbour, as int16 with the fixed file's geometry.

    Returns:
        A note if the label map does not look like one.

    Raises:
        DataError: if the label map cannot be read, or is not on the moving file's grid.
    """
    labels, affine = read_labels(labels_path)
    if labels.shape != registration.moving.shape:
        shape = registration.moving.shape
        raise DataError(f"{labels_path}: shape: expected the moving image's {shape}, got {labels.shape}")
    difference = np.abs(affine - registration.moving_affine).max()
    if registration.grid == "headers" and difference > _TOLERANCE:
        raise DataError(f"{labels_path}: affine: expected the moving image's, got a difference of {difference:.3g}")
    _write(registration, path, warp_labels(labels, registration.displacement))
    return note_on_labels(labels_path, labels)


def write_transform(registration: FileRegistration, path: str | Path) -> None:
    """Writes where each fixed voxel lies in the moving image; the name of the file says in which form.

    Raises:
        InputError: for a name without a form.
        StorageError: if the file cannot be written.
    """
    field = transform_of(registration)
    transforms.write_transform(Path(path), field, registration.moving_geometry, like=registration.fixed_path)


def write_inverse(registration: FileRegistration, path: str | Path) -> np.ndarray:
    """Writes the inverse, on the moving file's grid, as `write_transform`.

    Returns:
        Its error in mm for each moving voxel that the fixed image covers, (n,): from there to the fixed image and back.
    """
    field = transform_of(registration)
    inverse = inverse_of(field, registration.moving_geometry)
    transforms.write_transform(Path(path), inverse, registration.fixed_geometry, like=registration.moving_path)
    return inverse_error_mm(field, inverse)


def transform_of(registration: FileRegistration) -> FieldTransform:
    """The registration as a map of the world."""
    return field_of(registration.displacement, registration.fixed_geometry, registration.moving_geometry)


def _register(model: Model, fixed: Tensor, moving: Tensor, to_moving: Tensor, refine: int) -> Displacement | None:
    """Displacement into voxels of `moving` on the CPU; None if `moving` is nowhere on the fixed grid."""
    x = voxel_grid(tuple(fixed.shape[2:]), fixed)
    seen = warp(moving, _transformed(to_moving, x[0])[None] - x)
    if not seen[:, :1].any():
        return None
    (padded_fixed, crop), (padded_moving, _) = (pad_to_multiple(side, model.multiple) for side in (fixed, seen))
    batch = PairBatch(_side(padded_fixed), _side(padded_moving), crop)
    u = register_batch(model, batch, steps=refine)[crop]
    # the network's motion comes first, on the fixed grid, then the step into the moving file
    return (_transformed(to_moving, (x + u)[0])[None] - x).cpu()


def _transformed(matrix: Tensor, positions: Tensor) -> Tensor:
    """Positions (d, *s) under an affine map (d + 1, d + 1)."""
    moved = torch.tensordot(matrix[:-1, :-1], positions, dims=1)
    return moved + matrix[:-1, -1].view(-1, *[1] * (positions.ndim - 1))


def _in_plane(matrix: np.ndarray, dims: int) -> np.ndarray:
    """The (d + 1, d + 1) part of a (4, 4) affine map; in 2-D what leads out of the plane is dropped."""
    axes = [*range(dims), 3]
    return matrix[np.ix_(axes, axes)]


def _suitable_grid(
    model: Model, fixed: tuple[tuple[int, ...], np.ndarray], moving: tuple[tuple[int, ...], np.ndarray]
) -> Literal["headers", "voxels"]:
    alike = fixed[0] == moving[0] and np.allclose(fixed[1][:3, :3], moving[1][:3, :3], rtol=0, atol=_TOLERANCE)
    return "voxels" if alike and not model.common_affine else "headers"


def _check_dims(model: Model, path: str | Path, dims: int) -> None:
    network: Mapping[str, Any] = model.description.get("genotype", model.description)
    expected = network.get("architecture", {}).get("dims", 3)
    if dims != expected:
        raise DataError(f"{path}: dimensions: expected {expected} as the model's, got {dims}")


def _prepare(model: Model, raw: np.ndarray, path: str | Path, device: torch.device) -> Tensor:
    """(1, 2, *s): the image, normalised as the training images were, and its foreground."""
    config = DataConfig(**{k: model.data[k] for k in ("foreground", "percentiles") if k in model.data})
    image, foreground = normalise(raw, config, path)
    return torch.from_numpy(np.stack([image, foreground.astype(np.float32)]))[None].to(device)


def _side(prepared: Tensor) -> Side:
    return Side(prepared[:, :1], prepared[:, 1:], None)


def _write(registration: FileRegistration, path: str | Path, array: np.ndarray) -> None:
    write_nifti(path, array, registration.fixed_affine, like=registration.fixed_path)
