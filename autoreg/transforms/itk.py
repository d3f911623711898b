"""Transforms in ITK's own files, and affine alignment by ITK, whose world is LPS+; the only module with SimpleITK."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from autoreg.errors import DataError, StorageError
from autoreg.files import result_file
from autoreg.transforms import hdf5
from autoreg.transforms.transform import AffineTransform, FieldTransform, Geometry

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COARSEST = 16  # voxels along the shortest axis of the coarsest grid of an alignment
_SEED = 1  # of what ITK adds to the positions of regular samples; by default the clock
_SAMPLES = 30_000  # voxels that an alignment looks at in each step; with 10 000 it loses 0.01 to 0.03 Dice on brains
_FLAT = 1e-3  # mm a voxel; what a slice of ITK may lead out of the plane of the first two world axes


def write_field(path: Path, field: FieldTransform) -> None:
    """Writes a displacement field transform (HDF5), double precision.

    Raises:
        DataError: for slices that do not lie in the plane of the first two world axes.
        StorageError: if it cannot be written.
    """
    vectors = field.vectors.astype(np.float64) @ _TO_LPS[:3, :3]
    dims = len(field.geometry.shape)
    require_axial(f"{path}: transform", field.geometry)
    vectors = vectors[..., :dims].transpose(*range(dims)[::-1], dims)  # the first axis runs fastest
    grid = sitk.DisplacementFieldTransform(_image(np.zeros((*field.geometry.shape, dims)), field.geometry, vector=True))
    kind = f"DisplacementFieldTransform_double_{dims}_{dims}"
    hdf5.write(path, hdf5.Content(kind, np.array(grid.GetFixedParameters()), vectors.ravel()))


def write_affine(path: Path, transform: AffineTransform, *, dims: int = 3) -> None:
    """Writes an affine transform (text) of 3-D or, in the plane of the first two world axes, of 2-D images.

    Raises:
        StorageError: if the file cannot be written.
    """
    with result_file(path) as file, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "transform.tfm"
        try:
            sitk.WriteTransform(_affine_transform(transform.matrix, dims), str(copy))  # by name only
        except RuntimeError as error:
            where = tempfile.gettempdir()
            raise StorageError(f"{path}: cannot be written: no room for a working copy of it in {where}") from error
        with copy.open("rb") as content:
            shutil.copyfileobj(content, file)


def read(path: Path) -> FieldTransform | AffineTransform:
    """The displacement field or affine transform of a file, whoever wrote it.

    Raises:
        DataError: if the file cannot be read, or holds another kind of transform.
    """
    try:
        if path.suffix != ".h5":
            return _ours(path, sitk.ReadTransform(str(path)))
        content = hdf5.read(path)
        if content.kind.startswith("DisplacementFieldTransform_"):
            return _field_of(content)
        return _ours(path, _described(content))
    except (RuntimeError, ValueError) as error:  # ITK's, and numpy's of numbers that do not fill the grid
        raise DataError(f"{path}: file: expected a transform of ITK, got one that it cannot read") from error


def _ours(path: Path, transform: sitk.Transform) -> FieldTransform | AffineTransform:
    if transform.IsLinear():
        return AffineTransform(_TO_LPS @ _matrix(transform) @ _TO_LPS)
    concrete = transform.Downcast()
    if not isinstance(concrete, sitk.DisplacementFieldTransform):
        raise DataError(f"{path}: transform: expected a displacement field or an affine map, got {concrete.GetName()}")
    image = concrete.GetDisplacementField()
    return _field_on(image, sitk.GetArrayFromImage(image))


def _field_of(content: hdf5.Content) -> FieldTransform:
    """A field whose numbers ITK does not see: it wants them as a list, which is slow."""
    dims = 3 if content.kind.endswith("_3_3") else 2
    vectors = content.parameters.reshape(*content.fixed[:dims].astype(int)[::-1], dims)
    grid = sitk.DisplacementFieldTransform(dims)
    grid.SetFixedParameters(content.fixed.tolist())
    return _field_on(grid.GetDisplacementField(), vectors)


def _field_on(grid: sitk.Image, vectors: np.ndarray) -> FieldTransform:
    """A field of ITK, its vectors (*reversed(s), d), mm, LPS+."""
    dims = grid.GetDimension()
    padded = np.zeros((*grid.GetSize(), 3), dtype=np.float32)
    padded[..., :dims] = np.moveaxis(vectors, range(dims), range(dims)[::-1])
    return FieldTransform(Geometry(grid.GetSize(), _affine(grid)), padded @ _TO_LPS[:3, :3].astype(np.float32))


def _described(content: hdf5.Content) -> sitk.Transform:
    """ITK makes any transform from its class and numbers where they come as text."""
    numbers = {"Parameters": content.parameters, "FixedParameters": content.fixed}
    lines = ["#Insight Transform File V1.0", "#Transform 0", f"Transform: {content.kind}"]
    lines += [f"{name}: {' '.join(map(repr, values.tolist()))}" for name, values in numbers.items()]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "transform.tfm"
        text.write_text("\n".join(lines) + "\n")
        return sitk.ReadTransform(str(text))


def require_axial(what: str, geometry: Geometry) -> None:
    """Raises DataError for a 2-D grid that ITK cannot place in its two-dimensional world; `what` opens the message."""
    tilt = np.abs(geometry.affine[2, :2]).max()
    if len(geometry.shape) == 2 and tilt > _FLAT:
        raise DataError(
            f"{what}: expected a slice in the plane of the first two world axes (x, y), as ITK's 2-D world has no "
            f"other, got one that rises by {tilt:.3g} mm a voxel"
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """ITK alone on one core: sums of several threads differ from run to run."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


@_one_thread()
def align(
    fixed: np.ndarray, fixed_geometry: Geometry, moving: np.ndarray, moving_geometry: Geometry
) -> AffineTransform:
    """The affine map from points of the fixed to points of the moving image that makes the two most alike.

    Starts from the headers or from the centres of mass, whatever is more alike, then a rigid and an affine motion
    from coarse to fine, by mutual information: the modalities may differ. Needs no labels.
    The same images give the same map, bit for bit.

    Args:
        fixed: intensities, (*s); background low.
        moving: the same, on another grid.

    Raises:
        DataError: if the images do not meet whatever the start, or for slices as `require_axial`.

    Reference: Mattes et al. 2001, doi:10.1117/12.431046, as implemented by ITK.
    """
    for geometry in (fixed_geometry, moving_geometry):
        require_axial("affine", geometry)
    one, other = _image(fixed, fixed_geometry), _image(moving, moving_geometry)
    search = _Search(one, other)
    dims = len(fixed_geometry.shape)
    rigid = sitk.Euler3DTransform() if dims == 3 else sitk.Euler2DTransform()
    centred = sitk.CenteredTransformInitializer(one, other, rigid, sitk.CenteredTransformInitializerFilter.MOMENTS)
    by_headers = type(rigid)(rigid)
    by_headers.SetIdentity()
    by_headers.SetCenter(one.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in one.GetSize()]))
    start = min((by_headers, centred.Downcast()), key=search.unlikeness)
    if not np.isfinite(search.unlikeness(start)):
        raise DataError("affine: expected images that overlap by their headers or centres, got two that do not")
    turned = search.improve(start)
    affine = sitk.AffineTransform(dims)
    affine.SetCenter(turned.GetCenter())
    affine.SetMatrix(turned.GetMatrix())
    affine.SetTranslation(turned.GetTranslation())
    best = min((start, turned, search.improve(affine)), key=search.unlikeness)
    return AffineTransform(_TO_LPS @ _matrix(best) @ _TO_LPS)


class _Search:
    """Steps towards the transform under which two images are most alike."""

    def __init__(self, fixed: sitk.Image, moving: sitk.Image) -> None:
        self.fixed, self.moving = fixed, moving

    def unlikeness(self, transform: sitk.Transform) -> float:
        """Negative mutual information; infinite where the images do not meet."""
        method = self._method(levels=1)
        method.SetInitialTransform(transform)
        try:
            return method.MetricEvaluate(self.fixed, self.moving)
        except RuntimeError:  # ITK's way to say that too few voxels overlap
            return float("inf")

    def improve(self, transform: sitk.Transform) -> Any:
        """A transform of the same kind, from coarse to fine."""
        method = self._method(levels=3)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=1.0, minStep=1e-3, numberOfIterations=100, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        better = type(transform)(transform)  # a copy, which ITK then changes
        method.SetInitialTransform(better, inPlace=True)
        method.Execute(self.fixed, self.moving)
        return better

    def _method(self, *, levels: int) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetInterpolator(sitk.sitkLinear)
        size = self.fixed.GetSize()
        coarsest = max(1, min(8, min(size) // _COARSEST))
        shrink = [max(1, coarsest // 2**level) for level in range(levels)]
        voxels = [np.prod(size) / factor ** len(size) for factor in shrink]
        percentages = [min(1.0, _SAMPLES / count) for count in voxels]
        method.SetMetricSamplingPercentagePerLevel(percentages, seed=_SEED)
        method.SetShrinkFactorsPerLevel(shrink)
        method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0.0 for factor in shrink])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        return method


def _image(values: np.ndarray, geometry: Geometry, *, vector: bool = False) -> sitk.Image:
    """An image of ITK; `values` (*s) or, for vectors, (*s, d)."""
    dims = len(geometry.shape)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(np.moveaxis(values, range(dims), range(dims)[::-1])), isVector=vector
    )
    affine = (_TO_LPS @ geometry.affine)[:dims]
    spacing = np.linalg.norm(affine[:, :dims], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:, :dims] / spacing).ravel().tolist())
    image.SetOrigin(affine[:, 3].tolist())
    return image


def _affine(image: sitk.Image) -> np.ndarray:
    """Voxels to RAS+, (4, 4), of an image of ITK."""
    dims = image.GetDimension()
    affine = np.eye(4)
    affine[:dims, :dims] = np.reshape(image.GetDirection(), (dims, dims)) * image.GetSpacing()
    affine[:dims, 3] = image.GetOrigin()
    return _TO_LPS @ affine


def _affine_transform(matrix: np.ndarray, dims: int) -> sitk.AffineTransform:
    turned = _TO_LPS @ matrix @ _TO_LPS
    transform = sitk.AffineTransform(dims)
    transform.SetMatrix(turned[:dims, :dims].ravel().tolist())
    transform.SetTranslation(turned[:dims, 3].tolist())
    return transform


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """A linear transform's matrix, (4, 4), LPS+, from where it takes the origin and the ends of the axes."""
    dims = transform.GetDimension()
    corners: Sequence[np.ndarray] = [np.zeros(dims), *np.eye(dims)]
    origin, *ends = (np.array(transform.TransformPoint(corner.tolist())) for corner in corners)
    matrix = np.eye(4)
    matrix[:dims, :dims] = np.stack([end - origin for end in ends], axis=1)
    matrix[:dims, 3] = origin
    return matrix
