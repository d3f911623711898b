"""The way back between files, on whatever grids."""

import numpy as np

from autoreg.evaluation.files import FileRegistration, transform_of
from autoreg.transforms.inverse import inverse_error_mm, inverse_of
from autoreg.transforms.transform import FieldTransform, Geometry


def test_there_and_back_is_the_identity(registered: FileRegistration) -> None:
    field = transform_of(registered)
    inverse = inverse_of(field, registered.moving_geometry)
    assert inverse.geometry.shape == registered.moving.shape
    error = inverse_error_mm(field, inverse)
    assert len(error) > 300 and error.max() < 1e-3
    assert inverse_error_mm(field, FieldTransform(inverse.geometry, 0 * inverse.vectors)).max() > 1


def test_slices(registered_2d: FileRegistration) -> None:
    field = transform_of(registered_2d)
    error = inverse_error_mm(field, inverse_of(field, registered_2d.moving_geometry))
    assert len(error) > 50 and error.max() < 1e-3


def test_the_inverse_of_a_shift() -> None:
    fixed, moving = Geometry((5, 6, 7), np.diag([2.0, 1, 1, 1])), Geometry((6, 6, 6), np.diag([-1.0, 1, 3, 1]))
    shift = np.broadcast_to(np.array([1.0, -2.0, 0.5], dtype=np.float32), (5, 6, 7, 3))
    inverse = inverse_of(FieldTransform(fixed, shift), moving)
    np.testing.assert_allclose(inverse.vectors.reshape(-1, 3), [[-1.0, 2.0, -0.5]] * 216, atol=1e-4)
