"""NIfTI files in and out; the only module that knows nibabel."""

import gzip
import math
import zlib
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from autoreg.errors import DataError, InputError
from autoreg.files import result_file

_UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError)
_DEFLATE = 1032  # no compressed byte stands for more, so a header that claims more is wrong
_MOST_VOXELS = 2**31
_COMPRESSION = 1  # of nine; more takes long and gains little on intensities
# The format has no boolean or half type, and many readers refuse 64-bit integers.
_WRITTEN_AS = {"bool": np.uint8, "int64": np.int32, "uint64": np.uint32, "float16": np.float32}


def read_geometry(path: str | Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape without trailing axes of one voxel, and affine, from the header alone.

    Raises:
        DataError: as `read_image`, for what a header can tell.
    """
    image = _open(path)
    return _space_shape(path, image.shape), _affine(path, image)


def read_image(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Intensities as float32 (i, j[, k]) and the voxel-to-world affine (4, 4) in mm.

    Raises:
        DataError: if the file is missing, damaged, not NIfTI, neither 2-D nor 3-D, or holds colours,
            complex numbers, NaN or infinity. The message names the file and the field.
    """
    values, affine = _read(path)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused below
        values = values.astype(np.float32)
    _require_finite(path, values)
    return values, affine


def read_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Label numbers as int16 (i, j[, k]) and the affine (4, 4).

    Raises:
        DataError: as `read_image`, and for numbers that are not whole or outside 0..32767.
    """
    values, affine = _read(path)
    _require_finite(path, values)
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise DataError(f"{path}: labels: expected whole numbers, got {values[values != np.rint(values)][0]:g}")
    low, high = values.min(), values.max()
    if low < 0 or high > np.iinfo(np.int16).max:
        raise DataError(f"{path}: labels: expected numbers from 0 to 32767, got {low:g} to {high:g}")
    return values.astype(np.int16), affine


def read_vectors(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a field as NIfTI keeps it, the components on the fifth axis; units are the file's.

    Returns:
        float32 (i, j[, k], d), and the affine (4, 4).

    Raises:
        DataError: if the file cannot be read, its fifth axis has neither two nor three components, or it holds NaN.
    """
    image = _open(path)
    try:
        values = np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise DataError(f"{path}: voxels: cannot be read: {_one_line(error)}") from error
    if values.ndim != 5 or values.shape[3] != 1 or values.shape[4] not in (2, 3):
        raise DataError(f"{path}: shape: expected vectors, (i, j, k, 1, 2 or 3), got {values.shape}")
    _require_finite(path, values)
    vectors = values.reshape(*_space_shape(path, values.shape[:3]), values.shape[4]).astype(np.float32)
    return vectors, _affine(path, image)


def to_ras(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A 3-D array with its axes turned and swapped so that they run closest to right, front and up, and its affine."""
    orientation = nib.orientations.io_orientation(affine)
    turned = np.ascontiguousarray(nib.orientations.apply_orientation(array, orientation))
    return turned, affine @ nib.orientations.inv_ornt_aff(orientation, array.shape)


def check_nifti_name(path: str | Path) -> None:
    """Raises InputError for a name that says no form to write an image in: before the work, not after it."""
    if not str(path).endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: name of an image: expected one that ends in .nii.gz or .nii")


def write_nifti(
    path: str | Path, array: np.ndarray, affine: np.ndarray, *, like: str | Path | None = None, intent: int = 0
) -> None:
    """Writes `array` with `affine`; with `like`, in the header and axes of that file.

    A file with one-voxel trailing axes is read as if it had none; `like` gives them back. The same array
    gives the same bytes, compressed or not. `intent` is the format's number for what the values mean. A missing
    folder is made.

    Raises:
        InputError: for a name that does not end in .nii.gz or .nii, or if `like` cannot be read.
        StorageError: if the file cannot be written; what was there is untouched.
    """
    check_nifti_name(path)
    header = None
    array = np.asarray(array)
    array = array.astype(_WRITTEN_AS.get(array.dtype.name, array.dtype), copy=False)
    if like is not None:
        original = _open(like)
        header = original.header.copy()
        header.set_data_dtype(array.dtype)
        header["cal_min"] = header["cal_max"] = 0  # display range of the other image
        if array.shape == _space_shape(like, original.shape):
            array = array.reshape(original.shape)
    written = nib.Nifti1Image(array, affine, header)
    written.header.set_intent(intent, allow_unknown=True)
    with result_file(Path(path)) as file:
        packed = (
            gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) if str(path).endswith(".gz") else nullcontext(file)
        )
        with packed as stream:
            written.to_stream(stream)  # type: ignore[arg-type]


def _open(path: str | Path) -> nib.Nifti1Pair:
    if not Path(path).is_file():
        raise DataError(f"{path}: file: expected a NIfTI file, got nothing at this path")
    try:
        image = nib.load(path)
    except _UNREADABLE as error:
        raise DataError(f"{path}: file: expected a NIfTI file, got: {_one_line(error)}") from error
    if not isinstance(image, nib.Nifti1Pair):
        raise DataError(f"{path}: file: expected a NIfTI file, got {type(image).__name__}")
    return image


def _read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    image = _open(path)
    kind = np.dtype(image.get_data_dtype())
    if kind.kind not in "iuf":
        raise DataError(f"{path}: data type: expected real numbers, got {'RGB' if kind.names else kind}")
    shape = _space_shape(path, image.shape)
    _require_room(path, image, kind.itemsize)
    try:
        values = np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise DataError(f"{path}: voxels: cannot be read: {_one_line(error)}") from error
    return values.reshape(shape), _affine(path, image)


def _space_shape(path: str | Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    space = tuple(int(n) for n in shape)
    while len(space) > 2 and space[-1] == 1:
        space = space[:-1]
    if len(space) not in (2, 3) or 0 in space:
        raise DataError(f"{path}: shape: expected a 2-D or 3-D volume, got shape {shape}")
    return space


def _require_room(path: str | Path, image: nib.Nifti1Pair, itemsize: int) -> None:
    """What a header claims is checked before memory is taken for it."""
    voxels = math.prod(int(n) for n in image.shape)
    data = Path(str(image.file_map["image"].filename))
    size = data.stat().st_size if data.exists() else 0
    if voxels > _MOST_VOXELS or voxels * itemsize > size * (_DEFLATE if data.suffix == ".gz" else 1):
        raise DataError(
            f"{path}: shape: expected what the file can hold and at most {_MOST_VOXELS} voxels, got {image.shape} of "
            f"{itemsize} bytes each in a file of {size} bytes"
        )


def _affine(path: str | Path, image: nib.Nifti1Pair) -> np.ndarray:
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(f"{path}: affine: expected a finite, invertible matrix, got {affine.tolist()}")
    return affine


def _require_finite(path: str | Path, values: np.ndarray) -> None:
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        raise DataError(f"{path}: voxels: expected finite numbers, got NaN or infinity in {wrong} of {values.size}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
