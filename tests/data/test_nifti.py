import gzip

import nibabel as nib
import numpy as np
import pytest

from autoreg.data.nifti import read_geometry, read_image, read_labels, write_nifti
from autoreg.errors import DataError, InputError

AFFINE = np.array([[0, -2, 0, 5], [3, 0, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1]], float)
SOLID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def save(path, values, affine=AFFINE):
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4)])
def test_image_and_affine_come_back(tmp_path, suffix, shape):
    path = tmp_path / f"a{suffix}"
    write_nifti(path, SOLID.reshape(shape), AFFINE)
    values, affine = read_image(path)
    assert values.dtype == np.float32 and np.array_equal(values, SOLID.reshape(shape))
    assert np.array_equal(affine, AFFINE)
    assert read_geometry(path)[0] == shape


@pytest.mark.parametrize(
    ("stored", "read"), [((4, 6, 1), (4, 6)), ((2, 3, 4, 1), (2, 3, 4)), ((4, 6, 1, 1), (4, 6)), ((1, 6, 4), (1, 6, 4))]
)
def test_trailing_single_axes_are_dropped_and_like_restores_them(tmp_path, stored, read):
    path = save(tmp_path / "a.nii", SOLID.reshape(stored))
    values, affine = read_image(path)
    assert values.shape == read_geometry(path)[0] == read
    write_nifti(tmp_path / "b.nii", values, affine, like=path)
    assert nib.load(tmp_path / "b.nii").shape == stored


def test_scaled_integers_are_read_as_scaled(tmp_path):
    image = nib.Nifti1Image(np.array([[[1, 2]]], np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "a.nii")
    stored = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    assert np.allclose(read_image(tmp_path / "a.nii")[0], stored)


def test_header_of_like_is_kept_and_its_display_range_is_not(tmp_path):
    original = nib.Nifti1Image(SOLID, AFFINE)
    original.header["cal_max"] = 9
    original.header.set_xyzt_units("mm")
    original.set_qform(AFFINE, code=1)
    nib.save(original, tmp_path / "a.nii")
    write_nifti(tmp_path / "b.nii", SOLID.astype(np.int64), AFFINE, like=tmp_path / "a.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert (int(header["qform_code"]), float(header["cal_max"]), header.get_xyzt_units()[0]) == (1, 0, "mm")
    assert header.get_data_dtype() == np.int32


def test_same_array_gives_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_nifti(tmp_path / f"{name}.nii.gz", SOLID, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_whole_labels_of_any_type_become_int16(tmp_path, dtype):
    labels, _ = read_labels(save(tmp_path / "a.nii.gz", np.array([[[0, 7]]], dtype)))
    assert labels.dtype == np.int16 and labels.tolist() == [[[0, 7]]]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([0, 1.5], "labels: expected whole numbers, got 1.5"),
        ([0, -1], "labels: expected numbers from 0 to 32767, got -1 to 0"),
        ([0, 40000], "labels: expected numbers from 0 to 32767, got 0 to 40000"),
        ([0, np.nan], "voxels: expected finite numbers, got NaN or infinity in 1 of 2"),
    ],
)
def test_bad_labels_are_named(tmp_path, values, field):
    path = save(tmp_path / "a.nii", np.array([[values]], np.float32))
    with pytest.raises(DataError, match=field) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def _truncated_gzip(path):
    write_nifti(path, np.random.default_rng(0).random((20, 20, 20)), AFFINE)
    path.write_bytes(path.read_bytes()[:-2000])


def _truncated(path):
    plain = path.with_suffix("").with_suffix(".nii")
    write_nifti(plain, SOLID, AFFINE)
    path.write_bytes(gzip.compress(plain.read_bytes()[:-40]))


def _flipped_bits(path):
    write_nifti(path, np.random.default_rng(0).random((20, 20, 20)), AFFINE)
    content = bytearray(path.read_bytes())
    content[2000:2100] = b"\xff" * 100
    path.write_bytes(content)


def _with_affine(path, number):
    """Overwrites the three rows of the matrix, at bytes 280 to 328 of the header."""
    write_nifti(path, SOLID, AFFINE)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:328] = np.full(12, number, "<f4").tobytes()
    path.write_bytes(gzip.compress(content))


BROKEN = {
    "missing": (lambda path: None, "file"),
    "folder": (lambda path: path.mkdir(), "file"),
    "empty": (lambda path: path.touch(), "file"),
    "text": (lambda path: path.write_bytes(gzip.compress(b"not an image" * 99)), "file"),
    "not gzip": (lambda path: path.write_bytes(b"plain words" * 99), "file"),
    "cut compressed": (_truncated_gzip, "voxels"),
    "cut": (_truncated, "voxels"),
    "flipped": (_flipped_bits, "file|voxels"),
    "4-D": (lambda path: save(path, np.ones((2, 2, 2, 3))), "shape: expected a 2-D or 3-D volume, got shape"),
    "1-D": (lambda path: save(path, np.ones(5)), "shape"),
    "complex": (lambda path: save(path, np.ones((2, 2), np.complex64)), "data type: .* got complex64"),
    "RGB": (lambda path: save(path, np.ones((2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])), "data type: .* got RGB"),
    "NaN": (lambda path: save(path, np.array([[1, np.nan]])), "voxels"),
    "infinite": (lambda path: save(path, np.array([[1, -np.inf]])), "voxels"),
    "beyond float32": (lambda path: save(path, np.array([[1, 1e300]])), "voxels"),
    "flat": (lambda path: _with_affine(path, 0.0), "affine"),
    "NaN affine": (lambda path: _with_affine(path, np.nan), "affine"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_line_with_file_and_field(tmp_path, name):
    path = tmp_path / "a.nii.gz"
    make, field = BROKEN[name]
    make(path)
    with pytest.raises(DataError, match=field) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_missing_folder_is_made(tmp_path):
    write_nifti(tmp_path / "new" / "folder" / "a.nii", SOLID, AFFINE)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "folder" / "a.nii")[0], SOLID)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder, got a file"):
        write_nifti(tmp_path / "file" / "a.nii", SOLID, AFFINE)


@pytest.mark.parametrize("name", ["a.png", "a", "a.nii.bz2"])
def test_a_name_that_says_no_form_is_refused_with_the_known_endings(tmp_path, name):
    with pytest.raises(InputError, match=r"expected one that ends in \.nii\.gz or \.nii"):
        write_nifti(tmp_path / name, SOLID, AFFINE)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(30000, 30000, 30000), (20000, 10, 10)])
def test_a_header_that_claims_more_than_the_file_can_hold_takes_no_memory(tmp_path, suffix, shape):
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.float64)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header.set_sform(AFFINE, 1)
    content = header.binaryblock + bytes(4 + 512)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(DataError, match=r"bomb\.nii.*shape: expected what the file can hold"):
        read_image(path)


def test_a_file_of_zeros_compresses_well_and_is_read(tmp_path):
    path = save(tmp_path / "zeros.nii.gz", np.zeros((128, 128, 64), np.uint8))
    assert read_labels(path)[0].sum() == 0
