"""Affine alignment finds a motion that is known."""

import numpy as np
import pytest
import SimpleITK as sitk
from scenes import rotation

from autoreg.data.synthetic import make_subject
from autoreg.errors import DataError
from autoreg.transforms.apply import resample
from autoreg.transforms.itk import align
from autoreg.transforms.transform import AffineTransform, Geometry

SHAPE = (32, 36, 30)


def known(dims: int) -> AffineTransform:
    """Ten degrees, a tenth larger, some mm away; in 2-D about z only."""
    matrix = np.eye(4)
    turn = rotation(10)
    if dims == 2:
        c, s = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix[:3, :3] = turn * [1.1, 1.1, 1.1 if dims == 3 else 1.0]
    matrix[:3, 3] = [4.0, -5.0, 3.0 if dims == 3 else 0.0]
    return AffineTransform(matrix)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("contrast", ["t1", "t2"])
def test_a_known_motion_is_found(dims: int, contrast: str) -> None:
    """In the same contrast and in another, where grey values mean other tissues."""
    geometry = Geometry(SHAPE[:dims], np.diag([2.0, 2.0, 2.0, 1.0]))
    kinds = dict(
        zip(("t1", "t2"), make_subject(0, modalities=["t1", "t2"], shape=SHAPE[:dims], seed=0)[0], strict=True)
    )
    truth = known(dims)
    back = AffineTransform(np.linalg.inv(truth.matrix))
    moving = resample(kinds[contrast].astype(np.float32), geometry, back, geometry)
    found = align(kinds["t1"].astype(np.float32), geometry, moving, geometry)
    points = geometry.points()[np.asarray(kinds["t1"]) > 0]
    before = np.linalg.norm(truth.at(points) - points, axis=-1)
    after = np.linalg.norm(truth.at(points) - found.at(points), axis=-1)
    assert before.mean() > 4 and after.mean() < 1.0  # mm, of voxels of 2 mm


def test_headers_that_do_not_meet_are_no_obstacle() -> None:
    image = make_subject(0, modalities=["t1"], shape=SHAPE, seed=0)[0][0].astype(np.float32)
    far = np.eye(4)
    far[:3, 3] = 1000
    found = align(image, Geometry(SHAPE, np.eye(4)), image, Geometry(SHAPE, far))
    np.testing.assert_allclose(found.matrix, far, atol=0.2)


def test_the_same_images_give_the_same_map_bit_for_bit() -> None:
    """A data set prepared again is the same data set; and ITK's threads are as they were."""
    one, other = (make_subject(i, modalities=["t1"], shape=SHAPE, seed=0)[0][0].astype(np.float32) for i in (0, 1))
    geometry = Geometry(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    first, *again = (align(one, geometry, other, geometry).matrix for _ in range(4))
    assert all(np.array_equal(first, matrix) for matrix in again)
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads


def test_an_aligned_pair_stays() -> None:
    image = make_subject(0, modalities=["t1"], shape=SHAPE, seed=0)[0][0].astype(np.float32)
    geometry = Geometry(SHAPE, np.eye(4))
    np.testing.assert_allclose(align(image, geometry, image, geometry).matrix, np.eye(4), atol=0.05)


def test_upright_slices_are_refused() -> None:
    upright = Geometry((20, 20), np.eye(4)[[0, 2, 1, 3]])
    image = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    with pytest.raises(DataError, match="expected a slice in the plane"):
        align(image, upright, image, upright)
