"""Landmarks of a data set: the same spots in several scans, as tables of positions in mm."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoreg.data.dataset import Dataset
from autoreg.data.volume import Volume
from autoreg.errors import DataError
from autoreg.files import result_file

_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Landmarks:
    """Spots of one scan.

    Attributes:
        positions: (n, 3), mm, RAS+.
        names: of the spots; without them row i of two scans is the same spot.
    """

    positions: np.ndarray
    names: tuple[str, ...] | None


def read_landmarks(path: Path) -> Landmarks:
    """A CSV table with the columns x, y, z (mm, RAS+) and, if wanted, name.

    Raises:
        DataError: if it cannot be read, lacks a column or a number, or has a name twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: points: expected a CSV table, got: {' '.join(str(error).split())}") from error
    if not rows or not set(_AXES) <= rows[0].keys():
        got = ", ".join(map(str, rows[0])) if rows else "no row"
        raise DataError(f"{path}: points: expected rows with the columns x, y, z (mm, RAS+), got {got}")
    try:
        positions = np.array([[float(row[axis]) for axis in _AXES] for row in rows])
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: points: x, y, z: expected numbers, got: {error}") from error
    if not np.isfinite(positions).all():
        raise DataError(f"{path}: points: x, y, z: expected finite numbers, got NaN or infinity")
    names = tuple(str(row["name"]) for row in rows) if "name" in rows[0] else None
    if names and len(set(names)) < len(names):
        raise DataError(f"{path}: points: name: expected each name once, got {max(names, key=names.count)} twice")
    return Landmarks(positions, names)


def write_landmarks(path: Path, landmarks: Landmarks) -> None:
    """Writes a table that `read_landmarks` reads. Raises StorageError if it cannot be written."""
    rows = [[repr(number) for number in row] for row in landmarks.positions.tolist()]
    header = [*_AXES]
    if landmarks.names:
        header, rows = [*_AXES, "name"], [[*row, name] for row, name in zip(rows, landmarks.names, strict=True)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    with result_file(path) as file:
        file.write(text.getvalue().encode())


def matched(fixed: Landmarks, moving: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) of the spots that both have: by name, or by row where there are no names.

    Raises:
        ValueError: if only one side has names, no name is in both, or the numbers of rows differ.
    """
    if fixed.names is None and moving.names is None:
        if len(fixed.positions) != len(moving.positions):
            raise ValueError(
                f"{len(fixed.positions)} rows as without names row matches row, got {len(moving.positions)}"
            )
        return fixed.positions, moving.positions
    common = [name for name in fixed.names or () if name in (moving.names or ())]
    if not common:
        raise ValueError("names that both have, got none")
    one, other = (side.positions[[(side.names or ()).index(name) for name in common]] for side in (fixed, moving))
    return one, other


@dataclass(frozen=True)
class PairLandmarks:
    """Landmarks of pairs of scans.

    Attributes:
        positions: by (fixed, moving): (n, 3) of either side, mm, RAS+; row i of both is the same spot.
    """

    positions: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]

    def voxels(self, pair: tuple[str, str], volumes: Mapping[str, Volume]) -> tuple[np.ndarray, np.ndarray] | None:
        """Voxel positions (n, d) on either side's own grid; None where there are no landmarks."""
        if pair not in self.positions:
            return None
        fixed, moving = (_voxels(p, volumes[key]) for p, key in zip(self.positions[pair], pair, strict=True))
        return fixed, moving


def pair_landmarks(dataset: Dataset, pairs: Iterable[tuple[str, str]]) -> PairLandmarks | None:
    """Landmarks of those pairs that have some on both sides; None if there is no such pair.

    Raises:
        DataError: a table cannot be read, or two of a pair do not match.
    """
    pairs = [pair for pair in pairs if all(key in dataset.points for key in pair)]
    tables = {key: read_landmarks(dataset.points[key]) for key in sorted({key for pair in pairs for key in pair})}
    positions = {}
    for fixed, moving in pairs:
        try:
            positions[fixed, moving] = matched(tables[fixed], tables[moving])
        except ValueError as error:
            both = f"{dataset.points[moving]}: points: for {moving} with {fixed}"
            raise DataError(f"{both}: expected {error}") from error
    return PairLandmarks(positions) if positions else None


def _voxels(positions: np.ndarray, volume: Volume) -> np.ndarray:
    inverse = np.linalg.inv(volume.affine)[: volume.image.ndim]
    return positions @ inverse[:, :3].T + inverse[:, 3]
