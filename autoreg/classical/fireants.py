"""FireANTs: greedy diffeomorphic registration by an adaptive optimiser, on local correlation.

Reference: Jena et al. 2024, arXiv:2404.01249; package fireants, whose licence is its own.
"""

from typing import Any

import numpy as np
import torch

from autoreg.classical.geometry import ItkGeometry, from_normalised, itk_geometry
from autoreg.classical.interface import Register
from autoreg.classical.optional import optional

_INSTALL = "pip install --no-deps fireants==1.5.0 (it asks for an older SimpleITK and works with ours)"
SETTINGS = {
    "scales": [4, 2, 1],
    "iterations": [100, 50, 25],
    "loss_type": "cc",
    "cc_kernel_size": 5,
    "optimizer": "Adam",
    "optimizer_lr": 0.5,
    "smooth_grad_sigma": 1.0,
    "smooth_warp_sigma": 0.5,
}


def greedy(threads: int) -> Register:
    """`GreedyRegistration` with the settings above."""
    simpleitk = optional("SimpleITK", extra="run")
    images = optional("fireants.io.image", extra="fireants", install=_INSTALL)
    package = optional("fireants.registration.greedy", extra="fireants", install=_INSTALL)
    torch.set_num_threads(threads)

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        geometry = itk_geometry(affine, fixed.ndim)
        pair = [
            images.BatchedImages(images.Image(_image(simpleitk, image, geometry), device="cpu"))
            for image in (fixed, moving)
        ]
        registration = package.GreedyRegistration(
            fixed_images=pair[0], moving_images=pair[1], progress_bar=False, **SETTINGS
        )
        registration.optimize()
        with torch.no_grad():
            positions = registration.get_warped_coordinates(*pair)[0]
        return from_normalised(positions.cpu().numpy())

    return register


def _image(simpleitk: Any, array: np.ndarray, geometry: ItkGeometry) -> Any:
    image = simpleitk.GetImageFromArray(np.ascontiguousarray(array.T, np.float32))
    image.SetOrigin([float(v) for v in geometry.origin])
    image.SetSpacing([float(v) for v in geometry.spacing])
    image.SetDirection([float(v) for v in geometry.direction.ravel()])
    return image
