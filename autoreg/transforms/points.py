"""Landmarks in CSV files, moved by a transform."""

from pathlib import Path

import numpy as np
import pandas as pd

from autoreg.errors import DataError
from autoreg.transforms.transform import FieldTransform, Geometry, Transform

WORLD, VOXELS = ("x", "y", "z"), ("i", "j", "k")


def move_points(table: pd.DataFrame, transform: Transform, moving: Geometry | None = None) -> pd.DataFrame:
    """Landmarks of the fixed image where they lie in the moving image; other columns stay.

    Args:
        table: columns x, y[, z] (mm, RAS+), or i, j[, k] (voxels of the fixed grid).
        transform: from fixed to moving points; voxels need a field, whose grid they count on.
        moving: the grid on which resulting voxels count; needed for voxels.

    Raises:
        DataError: if the columns are others or hold no numbers, or voxels cannot be counted.
    """
    columns = _columns(table)
    try:
        values = table[columns].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise DataError(f"points: {', '.join(columns)}: expected numbers, got {error}") from error
    if columns[0] == WORLD[0]:
        in_space = np.pad(values, [(0, 0), (0, len(WORLD) - len(columns))])
        moved = transform.at(in_space)[:, : len(columns)]
    else:
        if moving is None or not isinstance(transform, FieldTransform):
            raise DataError("points: i, j, k: expected a field and a --reference to count voxels on, or x, y, z in mm")
        if len(columns) != len(transform.geometry.shape):
            raise DataError(f"points: expected {len(transform.geometry.shape)} voxel columns, got {columns}")
        moved = moving.to_voxels(transform.at(transform.geometry.to_world(values)))
    return table.assign(**dict(zip(columns, moved.T, strict=True)))


def read_points(path: Path) -> pd.DataFrame:
    """The table of a CSV file with a header line. Raises DataError if it cannot be read or has other columns."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path}: file: expected a CSV table, got: {' '.join(str(error).split())}") from error
    try:
        _columns(table)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return table


def _columns(table: pd.DataFrame) -> list[str]:
    known = set(table.columns)
    for names in (WORLD, VOXELS, WORLD[:2], VOXELS[:2]):
        if known.issuperset(names):
            return list(names)
    got = ", ".join(map(str, table.columns))
    raise DataError(f"points: columns: expected x, y, z (mm, RAS+) or i, j, k (voxels), got {got}")
