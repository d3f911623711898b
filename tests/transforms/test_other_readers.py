"""Programs that people use read our transforms and get our warped image, labels and points.

antspyx and fslpy want other versions of some packages than AutoReg, so they belong into an environment of their own;
where they are installed these tests run, elsewhere they are skipped.
"""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scenes import MOVING_SHAPE, save

from autoreg.data.nifti import read_image
from autoreg.evaluation.files import FileRegistration, write_inverse, write_transform, write_warped, write_warped_labels
from autoreg.transforms.apply import resample
from autoreg.transforms.files import read_transform
from autoreg.transforms.points import move_points

Resample = Callable[..., np.ndarray]


def with_simpleitk(fixed: Path, moving: Path, transform: Path, *, nearest: bool = False) -> np.ndarray:
    seen = sitk.Resample(
        sitk.ReadImage(str(moving), sitk.sitkFloat64),
        sitk.ReadImage(str(fixed), sitk.sitkFloat64),
        itk_transform(transform),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        0.0,
    )
    return sitk.GetArrayFromImage(seen).T


def itk_transform(path: Path) -> sitk.Transform:
    if path.suffix == ".h5":
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


def with_ants(fixed: Path, moving: Path, transform: Path, *, nearest: bool = False) -> np.ndarray:
    ants = pytest.importorskip("ants", reason="antspyx is not installed here")
    seen = ants.apply_transforms(
        ants.image_read(str(fixed)),
        ants.image_read(str(moving)),
        [str(transform)],
        interpolator="nearestNeighbor" if nearest else "linear",
    )
    return seen.numpy()


READERS = {"SimpleITK": with_simpleitk, "ANTs": with_ants}


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_readers_get_our_warped_image(
    registered: FileRegistration, tmp_path: Path, reader: Resample, suffix: str
) -> None:
    transform = tmp_path / f"transform{suffix}"
    write_transform(registered, transform)
    write_warped(registered, tmp_path / "warped.nii.gz")
    ours = nib.load(tmp_path / "warped.nii.gz").get_fdata()
    theirs = reader(registered.fixed_path, registered.moving_path, transform)
    assert ours.min() > 0  # the moving image covers the fixed: no rule for what is outside matters
    np.testing.assert_allclose(theirs, ours, atol=5e-3)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_readers_get_our_warped_labels(registered: FileRegistration, tmp_path: Path, reader: Resample) -> None:
    write_transform(registered, tmp_path / "transform.nii.gz")
    labels = np.random.default_rng(0).integers(1, 300, MOVING_SHAPE)
    path = save(tmp_path / "labels.nii.gz", labels, registered.moving_affine)
    write_warped_labels(registered, path, tmp_path / "warped.nii.gz")
    ours = nib.load(tmp_path / "warped.nii.gz").get_fdata()
    theirs = reader(registered.fixed_path, path, tmp_path / "transform.nii.gz", nearest=True)
    assert (theirs != ours).mean() < 2e-3  # a position halfway between two voxels may fall to either


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_slices(registered_2d: FileRegistration, tmp_path: Path, reader: Resample, suffix: str) -> None:
    transform = tmp_path / f"transform{suffix}"
    write_transform(registered_2d, transform)
    write_warped(registered_2d, tmp_path / "warped.nii.gz")
    ours = nib.load(tmp_path / "warped.nii.gz").get_fdata()
    theirs = reader(registered_2d.fixed_path, registered_2d.moving_path, transform)
    np.testing.assert_allclose(theirs, ours, atol=5e-3)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_the_inverse_takes_the_fixed_image_to_the_moving(
    registered: FileRegistration, tmp_path: Path, reader: Resample
) -> None:
    write_inverse(registered, tmp_path / "inverse.nii.gz")
    theirs = reader(registered.moving_path, registered.fixed_path, tmp_path / "inverse.nii.gz")
    inverse = read_transform(tmp_path / "inverse.nii.gz")
    fixed, _ = read_image(registered.fixed_path)
    ours = resample(fixed, registered.fixed_geometry, inverse, registered.moving_geometry)
    at = registered.fixed_geometry.to_voxels(inverse.at(registered.moving_geometry.points()))
    inside = ((at > 0) & (at < np.array(registered.fixed_geometry.shape) - 1)).all(axis=-1)
    assert inside.sum() > 300
    assert np.abs(theirs - ours)[inside].max() < 0.02


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5"])
def test_points_go_from_fixed_to_moving_space_as_in_itk(
    registered: FileRegistration, tmp_path: Path, suffix: str
) -> None:
    transform = tmp_path / f"transform{suffix}"
    write_transform(registered, transform)
    voxels = np.random.default_rng(0).uniform(1, 9, (20, 3))
    points = pd.DataFrame(registered.fixed_geometry.to_world(voxels), columns=list("xyz"))
    ours = move_points(points, read_transform(transform)).to_numpy()
    flip = np.array([-1.0, -1.0, 1.0])
    reader = itk_transform(transform)
    theirs = np.array([reader.TransformPoint((p * flip).tolist()) for p in points.to_numpy()]) * flip
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.linalg.norm(ours - points.to_numpy(), axis=1).max() > 1


def test_points_go_as_in_ants(registered: FileRegistration, tmp_path: Path) -> None:
    ants = pytest.importorskip("ants", reason="antspyx is not installed here")
    write_transform(registered, tmp_path / "transform.nii.gz")
    voxels = np.random.default_rng(0).uniform(1, 9, (20, 3))
    points = pd.DataFrame(registered.fixed_geometry.to_world(voxels), columns=list("xyz"))
    lps = points * [-1, -1, 1]
    theirs = ants.apply_transforms_to_points(3, lps, [str(tmp_path / "transform.nii.gz")]) * [-1, -1, 1]
    ours = move_points(points, read_transform(tmp_path / "transform.nii.gz"))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_fsl_gets_our_warped_image(registered: FileRegistration, tmp_path: Path) -> None:
    fnirt = pytest.importorskip("fsl.transform.fnirt", reason="fslpy is not installed here")
    image = pytest.importorskip("fsl.data.image").Image
    apply_deformation = pytest.importorskip("fsl.transform.nonlinear").applyDeformation

    write_transform(registered, tmp_path / "transform.fsl.nii.gz")
    write_warped(registered, tmp_path / "warped.nii.gz")
    fixed, moving = image(str(registered.fixed_path)), image(str(registered.moving_path))
    field = fnirt.readFnirt(str(tmp_path / "transform.fsl.nii.gz"), moving, fixed, defType="relative")
    theirs = apply_deformation(moving, field, fixed, order=1)
    np.testing.assert_allclose(theirs, nib.load(tmp_path / "warped.nii.gz").get_fdata(), atol=5e-3)
