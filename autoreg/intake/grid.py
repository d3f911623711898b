"""The one grid that all volumes of a prepared data set get."""

from collections.abc import Sequence

import numpy as np

from autoreg.data.nifti import to_ras
from autoreg.errors import InputError
from autoreg.transforms.transform import Geometry

_MARGIN = 0.1  # of the foreground's extent, for people larger than the reference
_MULTIPLE = 16  # what networks halve sizes by without padding


def common_grid(
    image: np.ndarray, affine: np.ndarray, *, spacing: Sequence[float] | None, shape: Sequence[int] | None
) -> Geometry:
    """A grid around the foreground of a reference image, along its axes in the order right, front, up.

    2-D images keep their axes. Voxels coincide with those of the reference where the spacing is a multiple.

    Args:
        image: of the reference, (*s).
        affine: (4, 4) of the reference.
        spacing: mm, one number or one an axis; None is the reference's.
        shape: voxels by axis; None holds the foreground and a tenth more, in multiples of 16.

    Raises:
        InputError: if there are not as many numbers as axes, or they are not above 0.
    """
    if image.ndim == 3:
        image, affine = to_ras(image, affine)
    own = np.linalg.norm(affine[:3, : image.ndim], axis=0)
    step = _by_axis("--spacing", spacing, image.ndim) if spacing else own
    ratio = step / own
    first, last = _foreground_box(image)
    if shape:
        size = np.array(_by_axis("--shape", shape, image.ndim), dtype=int)
    else:
        needed = (last - first + 1) * (1 + _MARGIN) / ratio
        size = (np.ceil(needed / _MULTIPLE) * _MULTIPLE).astype(int)
    start = (first + last) / 2 - (size - 1) / 2 * ratio
    whole = np.isclose(ratio, np.rint(ratio))  # elsewhere whole starts would put voxels halfway between two labels
    start = np.where(whole, np.rint(start), start)
    to_own = np.eye(4)
    to_own[range(image.ndim), range(image.ndim)] = ratio
    to_own[: image.ndim, 3] = start
    return Geometry(tuple(size.tolist()), affine @ to_own)


def _foreground_box(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last voxel above the darkest value, axis by axis."""
    inside = np.argwhere(image > image.min())
    return inside.min(axis=0), inside.max(axis=0)


def _by_axis(option: str, given: Sequence[float], dims: int) -> np.ndarray:
    values = np.array(list(given) * dims if len(given) == 1 else given, dtype=float)
    if len(values) != dims or not (values > 0).all():
        got = ",".join(f"{value:g}" for value in given)
        raise InputError(f"{option}: expected one number or {dims}, above 0, got {got}")
    return values
