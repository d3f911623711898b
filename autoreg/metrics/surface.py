"""Distance of label surfaces."""

import warnings
from collections.abc import Sequence

import numpy as np


def hd95_mm(
    fixed_labels: np.ndarray, warped_labels: np.ndarray, label_numbers: Sequence[int], spacing: Sequence[float]
) -> np.ndarray:
    """Robust Hausdorff distance of every label in millimetres, (L,); NaN where either map lacks the label.

    The larger of the two directed 95th percentiles. Surface elements weigh by their area in mm^2 (length
    in 2-D), so an anisotropic grid does not favour its finely sampled sides.

    Args:
        fixed_labels: integer label numbers on the fixed grid, 2-D or 3-D.
        warped_labels: the moving labels on the fixed grid, same shape.
        label_numbers: which labels, all positive, in the order of the result.
        spacing: voxel size of the fixed grid in mm, one number an axis. Learn2Reg's own program uses 1 for
            all, that is voxels.

    Raises:
        ValueError: if the shapes differ or `spacing` has not one number an axis.
    """
    fixed_labels, warped_labels = np.asarray(fixed_labels), np.asarray(warped_labels)
    if fixed_labels.shape != warped_labels.shape or len(spacing) != fixed_labels.ndim:
        raise ValueError(
            f"hd95_mm: expected equal shapes and one spacing an axis, got {fixed_labels.shape}, "
            f"{warped_labels.shape} and {len(spacing)} spacings"
        )
    boxes = _Boxes(fixed_labels), _Boxes(warped_labels)
    return np.array([_hd95_of_label(number, boxes, spacing) for number in label_numbers])


class _Boxes:
    """Label map with the bounding box of every label, found in one pass over the volume."""

    def __init__(self, labels: np.ndarray) -> None:
        from scipy import ndimage  # the numerical core imports without scipy

        self.labels = labels
        self._boxes = ndimage.find_objects(labels.astype(np.int64, copy=False))

    def box(self, number: int) -> tuple[slice, ...] | None:
        return self._boxes[number - 1] if 0 < number <= len(self._boxes) else None


def _hd95_of_label(number: int, boxes: tuple[_Boxes, _Boxes], spacing: Sequence[float]) -> float:
    fixed, warped = boxes
    fixed_box, warped_box = fixed.box(number), warped.box(number)
    if fixed_box is None or warped_box is None:
        return np.nan
    both = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(fixed_box, warped_box, strict=True))
    return _hd95_of_masks(fixed.labels[both] == number, warped.labels[both] == number, spacing)


def _hd95_of_masks(fixed: np.ndarray, warped: np.ndarray, spacing: Sequence[float]) -> float:
    import surface_distance  # with scipy beneath it; the numerical core imports without them

    with warnings.catch_warnings():
        # version 0.1 reaches scipy.ndimage by a module path that scipy has renamed
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = surface_distance.compute_surface_distances(fixed, warped, spacing)
    return float(surface_distance.compute_robust_hausdorff(distances, 95))
