"""Millimetre vectors of the peers' worlds as voxels, against points moved by hand."""

import nibabel as nib
import numpy as np
import pytest

from autoreg.classical.geometry import from_lps, from_normalised, from_ras, itk_geometry
from autoreg.data.nifti import read_vectors
from autoreg.errors import DataError

LPS = np.array([-1.0, -1.0, 1.0])
ANGLE = np.deg2rad(25)
TURNED = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
OBLIQUE = TURNED @ np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
SWAPPED = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
LINEAR = {
    "isotropic": np.eye(3),
    "anisotropic": np.diag([0.7, 1.3, 4.0]),
    "flipped": np.diag([-1.0, 2.0, 1.5]),
    "oblique": OBLIQUE @ np.diag([0.8, 1.1, 2.5]),
    "oblique and flipped": OBLIQUE @ np.diag([-0.8, 1.1, -2.5]),
    "axes swapped": SWAPPED @ np.diag([0.8, 1.1, 2.5]),
}


def affine(linear: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, [12.5, -30, 7]
    return matrix


def world(matrix: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """RAS positions (*s, 3) of voxel positions (3, *s)."""
    return np.moveaxis(voxels, 0, -1) @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.fixture
def displacement() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 4, 5, 6))


@pytest.mark.parametrize("linear", LINEAR.values(), ids=list(LINEAR))
def test_a_point_of_the_fixed_image_plus_its_vector_is_that_of_the_moving(linear, displacement):
    matrix, x = affine(linear), np.indices(displacement.shape[1:])
    vectors = world(matrix, x + displacement) - world(matrix, x)
    np.testing.assert_allclose(from_ras(vectors, matrix), displacement, atol=1e-12)
    np.testing.assert_allclose(from_lps(vectors * LPS, matrix), displacement, atol=1e-12)


@pytest.mark.parametrize("linear", LINEAR.values(), ids=list(LINEAR))
def test_itk_puts_voxels_where_nifti_does(linear):
    """ITK: point = origin + direction (spacing * index); the first two axes of its world run the other way."""
    matrix, index = affine(linear), np.array([3.0, 1, 2])
    origin, spacing, direction = itk_geometry(matrix, 3)
    np.testing.assert_allclose(origin + direction @ (spacing * index), LPS * (matrix @ [*index, 1])[:3], atol=1e-12)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    assert (spacing > 0).all()


def test_two_dimensions_stay_in_their_plane():
    matrix = affine(TURNED @ np.diag([0.5, 2.0, 1.0]))
    vectors = np.zeros((3, 4, 2))
    vectors[:] = matrix[:2, :2] @ [1.0, -2.0] * LPS[:2]
    found = from_lps(vectors, matrix)
    assert found.shape == (2, 3, 4)
    np.testing.assert_allclose(found[:, 1, 1], [1.0, -2.0])
    assert itk_geometry(matrix, 2).spacing == pytest.approx([0.5, 2.0])


def test_a_sheared_grid_is_refused():
    with pytest.raises(DataError, match="right angles"):
        itk_geometry(affine(np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]])), 3)
    upright = affine(np.array([[0, 0, 1.0], [0, 1, 0], [1, 0, 0]]))  # a slice across the first two axes
    with pytest.raises(DataError, match="right angles"):
        itk_geometry(upright, 2)


@pytest.mark.parametrize("shape", [(4, 6, 9), (5, 7)])
def test_normalised_positions_count_the_axes_of_the_reversed_array(shape):
    positions = np.zeros((*reversed(shape), len(shape)))
    for axis, n in enumerate(shape):
        along = np.indices(tuple(reversed(shape)))[len(shape) - 1 - axis]
        positions[..., axis] = 2 * (along + 0.25 * (axis + 1)) / (n - 1) - 1
    found = from_normalised(positions)
    assert found.shape == (len(shape), *shape)
    for axis in range(len(shape)):
        np.testing.assert_allclose(found[axis], 0.25 * (axis + 1), atol=1e-12)


def test_vectors_are_read_from_the_fifth_axis(tmp_path):
    values = np.arange(4.0 * 5 * 6 * 3).reshape(4, 5, 6, 1, 3)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii")
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.nii")[0], values[:, :, :, 0])
    nib.save(nib.Nifti1Image(values[:, :, :1, :, :2], np.eye(4)), tmp_path / "flat.nii")
    assert read_vectors(tmp_path / "flat.nii")[0].shape == (4, 5, 2)
    nib.save(nib.Nifti1Image(values[..., 0, 0], np.eye(4)), tmp_path / "scalar.nii")
    with pytest.raises(DataError, match=r"scalar\.nii: shape: expected vectors"):
        read_vectors(tmp_path / "scalar.nii")
