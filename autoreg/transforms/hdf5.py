"""HDF5 files of ITK transforms; the only module with h5py.

Written in memory first: a full disk leaves HDF5 with a file that it cannot close, and it then ends the process. Read by
another process: a damaged or hostile file can end HDF5 too, or keep it busy for ever.
"""

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from autoreg.errors import DataError
from autoreg.files import result_file

_PATIENCE = 60.0  # seconds; a field of 160x192x224 voxels takes 1
_NAMES = {  # ITK's, and as ITK 4 spelled them
    "fixed": ("TransformFixedParameters", "TranformFixedParameters"),
    "parameters": ("TransformParameters", "TranformParameters"),
}


@dataclass(frozen=True)
class Content:
    """A transform as ITK describes it: its class with number type and dimensions, and its two lists of numbers."""

    kind: str
    fixed: np.ndarray
    parameters: np.ndarray


def write(path: Path, content: Content) -> None:
    """Writes a file of one transform. Raises StorageError if it cannot be written."""
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf:
        group = hdf.create_group("TransformGroup/0")
        group.create_dataset("TransformType", data=[content.kind], dtype=h5py.string_dtype("ascii"))
        for name, (dataset, _) in _NAMES.items():
            group[dataset] = getattr(content, name).astype(np.float64)
    with result_file(path) as target:
        target.write(file.getbuffer())


def read(path: Path) -> Content:
    """The first transform of a file, whoever wrote it. Raises DataError for a file that does not hold one."""
    command = [sys.executable, "-m", "autoreg.transforms.hdf5", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=True)
        with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
            content = Content(str(arrays["kind"]), arrays["fixed"], arrays["parameters"])
    except (subprocess.SubprocessError, OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: file: expected a transform of ITK, got one that cannot be read") from error
    if not all(np.isfinite(numbers).all() for numbers in (content.fixed, content.parameters)):
        raise DataError(f"{path}: file: expected finite numbers, got nan or infinity")
    return content


def _arrays(path: str) -> dict[str, np.ndarray]:
    with h5py.File(path, "r") as hdf:
        group = hdf["TransformGroup/0"]
        arrays = {name: next(group[n] for n in names if n in group)[:] for name, names in _NAMES.items()}
        return {name: numbers.astype(np.float64) for name, numbers in arrays.items()} | {
            "kind": np.array(group["TransformType"].asstr()[0])
        }


if __name__ == "__main__":
    np.savez(sys.stdout.buffer, **_arrays(sys.argv[1]))  # pyright: ignore[reportArgumentType]
