"""ANTs SyN: affine, then symmetric diffeomorphic registration on mutual information.

Reference: Avants et al. 2008, doi:10.1016/j.media.2007.06.004; package antspyx.
"""

import os
from tempfile import TemporaryDirectory

import numpy as np

from autoreg.classical.geometry import from_lps, itk_geometry
from autoreg.classical.interface import Register
from autoreg.classical.optional import optional

SEED = 1  # of the voxels that the affine stage samples


def syn(threads: int) -> Register:
    """`ants.registration` with type_of_transform "SyN" and its defaults; the affine part is in the displacement."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)  # read when ITK is first used
    ants = optional("ants", extra="ants")

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        origin, spacing, direction = itk_geometry(affine, fixed.ndim)
        grid = {"origin": tuple(origin), "spacing": tuple(spacing), "direction": direction}
        images = [ants.from_numpy(np.asarray(image, np.float32), **grid) for image in (fixed, moving)]
        with TemporaryDirectory() as folder:
            found = ants.registration(*images, type_of_transform="SyN", outprefix=f"{folder}/", random_seed=SEED)
            whole = ants.apply_transforms(*images, found["fwdtransforms"], compose=f"{folder}/whole")
            vectors = ants.image_read(whole).numpy()
        return from_lps(vectors, affine)

    return register
