"""A scene seen by two scanners, and a registration of the two files with a displacement that bends."""

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor, nn

from autoreg.evaluation.files import FileRegistration, register_files
from autoreg.networks import Registration
from autoreg.registration.model import Model
from autoreg.spatial import voxel_grid

FIXED_SHAPE, MOVING_SHAPE = (13, 12, 11), (30, 31, 29)


class Wave(nn.Module):
    """A smooth displacement of up to 1.2 voxels in each direction."""

    multiple = 4

    def forward(self, fixed: Tensor, moving: Tensor) -> Registration:
        grid = voxel_grid(tuple(fixed.shape[2:]), fixed)
        return Registration(1.2 * torch.sin(0.3 * grid.flip(1) + grid[:, :1] / 5 + 0.2), ())


def wave_model(dims: int) -> Model:
    return Model(Wave(), {"architecture": {"dims": dims}})


def rotation(degrees: float) -> np.ndarray:
    """About z, then about x."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


GEOMETRIES = {
    "plain": np.diag([1.0, 1.0, 1.0]),
    "anisotropic": np.diag([1.0, 0.9, 1.6]),
    "flipped": np.diag([-1.0, 1.2, 1.0]),
    "swapped axes": np.array([[0, 1.0, 0], [0, 0, -1.0], [1.1, 0, 0]]),
    "oblique": rotation(20) @ np.diag([1.0, 1.1, 1.3]),
    "oblique and flipped": rotation(-35) @ np.diag([1.2, -1.0, 1.4]),
}


def affine_around(linear: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The middle of the grid is at (30, -20, 10) mm."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = [30, -20, 10] - linear[:, : len(shape)] @ ((np.array(shape) - 1) / 2)
    return affine


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    image = nib.Nifti1Image(values.astype(np.int16 if values.dtype.kind == "i" else np.float32), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return path


def scene(path: Path, linear: np.ndarray, shape: tuple[int, ...]) -> Path:
    """A smooth pattern of the world, above 0."""
    affine = affine_around(linear, shape)
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = voxels @ affine[:3, : len(shape)].T + affine[:3, 3]
    values = 100 + 20 * np.sin(world / 4).sum(axis=-1) + 10 * np.cos(world.sum(axis=-1) / 5)
    return save(path, values, affine)


def register_scene(folder: Path, fixed: np.ndarray, moving: np.ndarray) -> FileRegistration:
    paths = scene(folder / "fixed.nii.gz", fixed, FIXED_SHAPE), scene(folder / "moving.nii.gz", moving, MOVING_SHAPE)
    return register_files(wave_model(3), *paths, grid="headers", device=torch.device("cpu"))


def register_slices(folder: Path) -> FileRegistration:
    """2-D slices whose axes are swapped and flipped, of different spacing."""
    fixed = scene(folder / "fixed.nii.gz", np.diag([0.9, -1.1, 1.0]), FIXED_SHAPE[:2])
    swapped = np.array([[0, 1.2, 0], [1.0, 0, 0], [0, 0, 1.0]])
    moving = scene(folder / "moving.nii.gz", swapped, MOVING_SHAPE[:2])
    return register_files(wave_model(2), fixed, moving, grid="headers", device=torch.device("cpu"))
