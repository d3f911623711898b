"""Elastix: affine, then B-splines on a grid of eight voxels, both on mutual information.

Reference: Klein et al. 2010, doi:10.1109/TMI.2009.2035616; package itk-elastix.
"""

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autoreg.classical.geometry import ItkGeometry, from_lps, itk_geometry
from autoreg.classical.interface import Register
from autoreg.classical.isolation import in_own_process
from autoreg.classical.optional import optional

GRID_VOXELS = 8


def affine_and_splines(threads: int) -> Register:
    """Elastix's default maps "affine" and "bspline", the latter with control points every eight voxels.

    Each registration has a process of its own, since the library crashes now and then.
    """
    _package()

    def register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray) -> np.ndarray:
        return in_own_process("elastix", _register, fixed, moving, affine, threads)

    return register


def _register(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray, threads: int) -> np.ndarray:
    itk = _package()
    geometry = itk_geometry(affine, fixed.ndim)
    images = [_image(itk, image, geometry) for image in (fixed, moving)]
    with TemporaryDirectory() as folder:  # transformix writes its field wherever it is
        options = {"output_directory": folder, "log_to_console": False}
        maps = _parameters(itk, fixed.ndim)
        _, found = itk.elastix_registration_method(*images, parameter_object=maps, number_of_threads=threads, **options)
        field = itk.transformix_deformation_field(images[1], transform_parameter_object=found, **options)
        vectors = np.moveaxis(itk.array_from_image(field).T, 0, -1)
    return from_lps(vectors, affine)


def _package() -> Any:
    itk = optional("itk", extra="elastix")
    optional("itk.itkElastixRegistrationMethodPython", extra="elastix")  # itk alone comes with other packages, too
    return itk


def _image(itk: Any, array: np.ndarray, geometry: ItkGeometry) -> Any:
    image = itk.image_from_array(np.ascontiguousarray(array.T, np.float32))
    image.SetOrigin([float(v) for v in geometry.origin])
    image.SetSpacing([float(v) for v in geometry.spacing])
    image.SetDirection(itk.matrix_from_array(geometry.direction))
    return image


def _parameters(itk: Any, dims: int) -> Any:
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("affine"))
    splines = parameters.GetDefaultParameterMap("bspline")
    del splines["FinalGridSpacingInPhysicalUnits"]
    splines["FinalGridSpacingInVoxels"] = [str(GRID_VOXELS)] * dims
    parameters.AddParameterMap(splines)
    return parameters
