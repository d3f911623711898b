"""Every form gives back what was written; what cannot be used is named."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scenes import GEOMETRIES, affine_around, register_slices, save

from autoreg.data.nifti import write_nifti
from autoreg.errors import DataError, InputError
from autoreg.evaluation.files import FileRegistration, transform_of, write_transform
from autoreg.transforms import hdf5
from autoreg.transforms.files import check_name, read_transform
from autoreg.transforms.itk import write_affine
from autoreg.transforms.transform import AffineTransform, FieldTransform, Geometry, displacement_of


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".h5", ".npz"])
def test_what_is_written_is_read(registered: FileRegistration, tmp_path: Path, suffix: str) -> None:
    write_transform(registered, tmp_path / f"t{suffix}")
    written, read = transform_of(registered), read_transform(tmp_path / f"t{suffix}")
    assert isinstance(read, FieldTransform)
    np.testing.assert_allclose(read.vectors, written.vectors, atol=2e-5)
    np.testing.assert_allclose(read.geometry.affine, written.geometry.affine, atol=1e-5)
    assert read.geometry.shape == written.geometry.shape


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5", ".npz"])
def test_slices_too(registered_2d: FileRegistration, tmp_path: Path, suffix: str) -> None:
    write_transform(registered_2d, tmp_path / f"t{suffix}")
    read = read_transform(tmp_path / f"t{suffix}")
    again = displacement_of(read, registered_2d.fixed_geometry, registered_2d.moving_geometry)
    np.testing.assert_allclose(again, registered_2d.displacement, atol=1e-4)


def test_the_native_file_holds_voxels(registered: FileRegistration, tmp_path: Path) -> None:
    write_transform(registered, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as content:
        np.testing.assert_allclose(content["displacement"], registered.displacement[0], atol=1e-4)
        np.testing.assert_array_equal(content["moving_affine"], registered.moving_affine)


@pytest.mark.parametrize("linear", GEOMETRIES.values(), ids=GEOMETRIES)
def test_affine_maps(linear: np.ndarray, tmp_path: Path) -> None:
    matrix = affine_around(linear, (5, 5, 5))
    write_affine(tmp_path / "a.tfm", AffineTransform(matrix))
    read = read_transform(tmp_path / "a.tfm")
    assert isinstance(read, AffineTransform)
    np.testing.assert_allclose(read.matrix, matrix, atol=1e-9)


def test_an_affine_map_of_itk_with_a_centre(tmp_path: Path) -> None:
    """Known by hand: half a turn about z through (1, 2, 3) in LPS takes (0, 0, 0) to (2, 4, 0) in LPS."""
    turn = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.0, 0.0, np.pi)
    sitk.WriteTransform(turn, str(tmp_path / "t.tfm"))
    np.testing.assert_allclose(read_transform(tmp_path / "t.tfm").at(np.zeros(3)), [-2.0, -4.0, 0.0], atol=1e-9)


@pytest.mark.parametrize("name", ["t.mat", "t.nii.bz2", "t", "t.tfm"])
def test_a_name_without_a_form_is_refused(registered_2d: FileRegistration, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"name of a transform: expected one that ends in \.nii\.gz"):
        check_name(tmp_path / name)
    with pytest.raises(InputError, match="name of a transform"):
        write_transform(registered_2d, tmp_path / name)


def test_fsl_has_no_slices(registered_2d: FileRegistration, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a 3-D pair for FSL"):
        write_transform(registered_2d, tmp_path / "t.fsl.nii.gz")


def test_fields_of_fsl_are_not_read(registered: FileRegistration, tmp_path: Path) -> None:
    write_transform(registered, tmp_path / "t.fsl.nii.gz")
    with pytest.raises(
        DataError, match=r"t\.fsl\.nii\.gz: file: expected a transform of ITK or AutoReg, got one for FSL"
    ):
        read_transform(tmp_path / "t.fsl.nii.gz")


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5"])
def test_upright_slices_are_for_the_native_form_only(tmp_path: Path, suffix: str) -> None:
    upright = Geometry((4, 5), np.eye(4)[[0, 2, 1, 3]])
    field = FieldTransform(upright, np.ones((4, 5, 3), dtype=np.float32))
    from autoreg.transforms.files import write_transform as write

    with pytest.raises(DataError, match="expected a slice in the plane of the first two world axes"):
        write(tmp_path / f"t{suffix}", field, upright)
    write(tmp_path / "t.npz", field, upright)
    np.testing.assert_allclose(read_transform(tmp_path / "t.npz").at(np.zeros((1, 3))), [[1, 0, 1]], atol=1e-6)


def write_text(path: Path) -> None:
    path.write_text("nothing of the kind")


def write_image(path: Path) -> None:
    save(path, np.ones((4, 4, 4)), np.eye(4))


def write_bspline(path: Path) -> None:
    sitk.WriteTransform(sitk.BSplineTransform(3), str(path))


def write_other_arrays(path: Path) -> None:
    np.savez(path, something=np.ones(3))


def write_nan(path: Path) -> None:
    write_nifti(path, np.full((4, 4, 4, 1, 3), np.nan), np.eye(4), intent=1007)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("t.nii.gz", None, "got nothing at this path"),
        ("t.nii", write_text, "expected a NIfTI file"),
        ("t.nii.gz", write_image, r"shape: expected vectors"),
        ("t.nii", write_nan, "expected finite numbers"),
        ("t.h5", write_text, "expected a transform of ITK"),
        ("t.tfm", write_bspline, "expected a displacement field or an affine map, got BSplineTransform"),
        ("t.npz", write_text, r"expected a transform of AutoReg \(\.npz\)"),
        ("t.npz", write_other_arrays, r"expected a transform of AutoReg \(\.npz\)"),
    ],
)
def test_what_is_no_transform_is_named(tmp_path: Path, name: str, write: object, message: str) -> None:
    if write:
        write(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        read_transform(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", ["t.h5", "t.npz", "t.nii.gz"])
def test_a_folder_that_is_not_there_is_made(tmp_path: Path, name: str) -> None:
    write_transform(register_slices(tmp_path), tmp_path / "missing" / name)
    assert read_transform(tmp_path / "missing" / name).geometry.shape
    assert [path.name for path in (tmp_path / "missing").iterdir()] == [name]


@pytest.mark.parametrize("linear", GEOMETRIES.values(), ids=GEOMETRIES)
def test_hdf5_files_that_itk_wrote(linear: np.ndarray, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((6, 5, 4, 3)), isVector=True)
    lps = np.diag([-1, -1, 1]) @ linear
    spacing = np.linalg.norm(lps, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps / spacing).ravel().tolist())
    sitk.WriteTransform(sitk.DisplacementFieldTransform(sitk.Image(image)), str(tmp_path / "field.h5"))
    sitk.WriteTransform(sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3), str(tmp_path / "affine.h5"))
    for name in ("field", "affine"):
        ours, points = read_transform(tmp_path / f"{name}.h5"), np.array([[1.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
        theirs, world = sitk.ReadTransform(str(tmp_path / f"{name}.h5")), points @ linear.T
        expected = [theirs.TransformPoint((p * [-1, -1, 1]).tolist()) * np.array([-1, -1, 1]) for p in world]
        np.testing.assert_allclose(ours.at(world), expected, atol=1e-5)


def test_damaged_hdf5_files_are_refused_or_read(registered: FileRegistration, tmp_path: Path) -> None:
    """HDF5 ends the process on some of these, or never returns, so this test is of all that it does."""
    write_transform(registered, tmp_path / "t.h5")
    whole, rng, refused = (tmp_path / "t.h5").read_bytes(), np.random.default_rng(0), 0
    for _ in range(8):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, 2000, 10)] = rng.integers(0, 256, 10)
        (tmp_path / "t.h5").write_bytes(damaged.tobytes()[: rng.choice([len(whole), 3000])])
        try:
            assert isinstance(read_transform(tmp_path / "t.h5"), FieldTransform | AffineTransform)
        except DataError:
            refused += 1
    assert refused


def test_a_file_that_keeps_hdf5_busy_is_refused(
    registered: FileRegistration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_transform(registered, tmp_path / "t.h5")
    monkeypatch.setattr("autoreg.transforms.hdf5._PATIENCE", 0.01)
    with pytest.raises(DataError, match=r"t\.h5: file: expected a transform of ITK, got one that cannot be read"):
        read_transform(tmp_path / "t.h5")


@pytest.mark.parametrize("end", [[4.0, 5.0], [1e9, 1e9, 1e9], [np.nan, 5.0, 6.0]])
def test_hdf5_numbers_that_make_no_grid(tmp_path: Path, end: list[float]) -> None:
    fixed = np.array([*end, *np.zeros(3), *np.ones(3), *np.eye(3).ravel()])
    hdf5.write(tmp_path / "t.h5", hdf5.Content("DisplacementFieldTransform_double_3_3", fixed, np.zeros(360)))
    with pytest.raises(DataError, match=r"t\.h5: file: expected"):
        read_transform(tmp_path / "t.h5")
