"""Hausdorff distance of shifted boxes: the shift in millimetres."""

import numpy as np
import pytest

from autoreg.metrics import hd95_mm


def boxes(dims: int, axis: int, shift: int, label: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A box of edge 10 and the same one moved along one axis."""
    fixed = np.zeros((20,) * dims, dtype=np.int16)
    fixed[(slice(4, 14),) * dims] = label
    return fixed, np.roll(fixed, shift, axis=axis)


@pytest.mark.parametrize("spacing", [(3.0, 1.0), (1.0, 2.5), (3.0, 1.0, 0.5), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shift", [0, 2, -2])
def test_shifted_box_is_as_far_as_its_shift(spacing: tuple[float, ...], axis: int, shift: int) -> None:
    fixed, warped = boxes(len(spacing), axis, shift)
    assert hd95_mm(fixed, warped, [1], spacing).tolist() == [pytest.approx(abs(shift) * spacing[axis])]


def test_elements_weigh_by_area_not_by_count() -> None:
    """Two of some 200 outline elements of a bar move; with coarse voxels across it they hold half of its length."""
    fixed = np.zeros((110, 12), dtype=np.int16)
    fixed[5:105, 4:6] = 1
    warped = fixed.copy()
    warped[105:108, 4:6] = 1  # longer by 3 voxels of 0.1 mm at one end
    # 0.1 mm by 100 mm: each end is 2 * 100 mm long, each side 100 * 0.1 mm
    assert hd95_mm(fixed, warped, [1], (0.1, 100.0)).tolist() == [pytest.approx(0.3)]
    assert hd95_mm(fixed, warped, [1], (0.1, 0.1)).tolist() == [pytest.approx(0.0)]


def test_labels_are_measured_one_by_one_and_absent_ones_are_nan() -> None:
    fixed, warped = boxes(3, 1, 2, label=7)
    fixed[0, 0, 0], warped[19, 19, 19], fixed[1, 1, 1] = 2, 3, 9
    warped[1, 1, 1] = 9
    np.testing.assert_allclose(hd95_mm(fixed, warped, [7, 2, 3, 9, 50], (1, 1, 1)), [2.0, np.nan, np.nan, 0.0, np.nan])


@pytest.mark.parametrize(("shape", "spacing"), [((20, 21), (1, 1)), ((20, 20), (1, 1, 1))])
def test_wrong_sizes_are_refused(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one spacing an axis"):
        hd95_mm(np.ones((20, 20), dtype=int), np.ones(shape, dtype=int), [1], spacing)
