"""Generated heads with known anatomy, for examples, tests and demonstrations.

A template of nested ellipsoids with a folded cortex is written down as a function of position, so each subject
is that function seen through its own smooth, invertible motion: no resampling, and sharp labels. Intensities
are then painted per contrast with texture, partial volume, a bias field and noise.
"""

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import torch

from autoreg.data.dataset import sample_pairs
from autoreg.data.nifti import write_nifti
from autoreg.errors import DataError
from autoreg.files import make_folder, result_file
from autoreg.spatial import integrate

LABEL_NAMES = {
    0: "background",
    1: "cortex",
    2: "white matter",
    3: "left ventricle",
    4: "right ventricle",
    5: "left thalamus",
    6: "right thalamus",
    7: "left putamen",
    8: "right putamen",
    9: "cerebellum",
    10: "brain stem",
}
_FLUID = 11  # between brain and outline; painted, but background in the label map
_OUTSIDE = 12

# Mean grey value by tissue number: labels 0..10 (0 is unused), fluid, outside.
CONTRASTS = {
    "t1": (0, 118, 192, 34, 34, 150, 150, 138, 138, 128, 172, 26, 0),
    "t2": (0, 136, 84, 232, 232, 108, 108, 94, 94, 124, 96, 216, 0),
}
_PARTS = (  # label, centre and half axes; x to the right, y to the front, z up, the grid spans -1..1
    (3, (-0.15, -0.04, 0.26), (0.12, 0.42, 0.16)),
    (4, (0.15, -0.04, 0.26), (0.12, 0.42, 0.16)),
    (5, (-0.17, -0.14, -0.03), (0.16, 0.26, 0.14)),
    (6, (0.17, -0.14, -0.03), (0.16, 0.26, 0.14)),
    (7, (-0.46, 0.02, 0.08), (0.12, 0.34, 0.22)),
    (8, (0.46, 0.02, 0.08), (0.12, 0.34, 0.22)),
)
_SLICE_Y = -0.16  # where a 2-D phantom cuts the template: every structure is there
_MARGIN = 1.08  # of the grid over the template, so that hardly a head is cut off
_SMALLEST = 6
_WAVES = 24


def make_phantoms(
    folder: str | Path,
    *,
    subjects: int,
    modalities: Sequence[str] = ("t1",),
    shape: tuple[int, ...] = (48, 48, 48),
    seed: int = 0,
    spacing: float = 1.0,
) -> Path:
    """Path of the dataset.json of a new set of phantoms, 2-D (coronal) or 3-D, with 10 labels.

    About 60 percent of the subjects are for training, the rest in equal parts for validation and test. The same
    arguments give the same bytes, and a subject does not depend on how many there are.

    Args:
        folder: made if need be; files of the same name are replaced.
        subjects: 6 or more.
        modalities: "t1", "t2" or both; the first is the fixed side of the listed pairs, the last the moving side.
        shape: voxels along each axis.
        seed: of the whole set.
        spacing: millimetres a voxel.

    Raises:
        DataError: if an argument is not one of these.
        InputError: if the folder is a file.
        StorageError: if a file cannot be written.

    Example:
        make_phantoms("phantoms", subjects=8, modalities=("t1", "t2"))
    """
    _check_arguments(subjects, modalities, shape, spacing)
    folder = Path(folder)
    make_folder(folder)
    for index in range(subjects):
        _write_subject(folder, index, modalities, shape, seed, spacing)
    description = json.dumps(_describe(subjects, modalities, shape, spacing), indent=1)
    path = folder / "dataset.json"
    with result_file(path) as file:
        file.write(description.encode() + b"\n")
    return path


def make_subject(
    index: int, *, modalities: Sequence[str], shape: tuple[int, ...], seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Images (uint8, one a modality) and label map (uint8) of one phantom."""
    rng = np.random.default_rng([seed, index])
    tissue = _tissue(_positions(shape, rng))
    images = [_paint(np.asarray(CONTRASTS[modality], dtype=np.float64)[tissue], tissue, rng) for modality in modalities]
    return images, np.where(tissue >= _FLUID, 0, tissue).astype(np.uint8)


def _positions(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Template position, (3, *s), of each voxel of a new subject: a smooth motion, then an affine one."""
    size = np.array(shape, dtype=np.float64).reshape(-1, *[1] * len(shape))
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape], indexing="ij"))
    moved = _MARGIN * ((2 * (grid + _displacement(shape, rng)) + 1) / size - 1)
    linear = np.eye(len(shape)) + rng.normal(0, 0.03, (len(shape), len(shape)))
    moved = np.tensordot(linear, moved, axes=1) + rng.normal(0, 0.02, (len(shape), *[1] * len(shape)))
    if len(shape) == 3:
        return moved
    return np.stack([moved[0], np.full(shape, _SLICE_Y), moved[1]])


def _displacement(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Several voxels, smooth and invertible: the exponential of broad and finer smoothed noise."""
    size, dims = min(shape), len(shape)  # over `dims`, as each axis that moves costs overlap
    velocity = np.zeros((dims, *shape))
    for component in velocity:
        component += 0.051 / dims * size * _smooth_noise(shape, rng, 0.15 * size)
        component += 0.020 / dims * size * _smooth_noise(shape, rng, 0.07 * size)
    return integrate(torch.from_numpy(velocity[None]))[0].numpy()


def _tissue(position: np.ndarray) -> np.ndarray:
    """Tissue number at positions (3, *s) of the template; later parts lie on top of earlier ones."""
    x, y, z = position
    fold = _folds(position)
    flat_below = np.stack([x, y, np.where(z < 0.1, 1.35 * z - 0.035, z)])
    depth = _ellipsoid(flat_below, (0, 0, 0.1), (0.82, 0.88, 0.80))
    cerebellum = _ellipsoid(position, (0, -0.42, -0.50), (0.52, 0.40, 0.27))
    stem = _ellipsoid(position, (0, -0.12, -0.52), (0.15, 0.18, 0.34))
    tissue = np.full(x.shape, _OUTSIDE)
    tissue[(depth < 1) | (cerebellum < 1.1) | (stem < 1.15)] = _FLUID
    tissue[cerebellum < 1] = 9
    cleft = np.abs(x) + 0.02 * fold  # between the hemispheres, from above
    above = z > 0.50
    tissue[(depth < 0.93 + 0.05 * fold) & ~(above & (cleft < 0.03))] = 1
    tissue[(depth < 0.77 + 0.10 * fold) & ~(above & (cleft < 0.11))] = 2
    tissue[stem < 1] = 10
    for label, centre, half_axes in _PARTS:
        tissue[_ellipsoid(position, centre, half_axes) < 1] = label
    return tissue


def _ellipsoid(position: np.ndarray, centre: Sequence[float], half_axes: Sequence[float]) -> np.ndarray:
    """Distance from the centre, 1 on the surface."""
    offset = (position - _column(centre, position.ndim - 1)) / _column(half_axes, position.ndim - 1)
    return np.sqrt((offset**2).sum(axis=0))


def _folds(position: np.ndarray) -> np.ndarray:
    """Smooth noise of unit variance, the same for all: a sum of plane waves in fixed random directions."""
    rng = np.random.default_rng(0)
    total = np.zeros(position.shape[1:])
    for _ in range(_WAVES):
        direction = rng.normal(size=3)
        direction *= rng.uniform(13, 19) / np.linalg.norm(direction)
        total += np.cos((_column(direction, position.ndim - 1) * position).sum(axis=0) + rng.uniform(0, 2 * np.pi))
    return total * np.sqrt(2 / _WAVES)


def _paint(mean: np.ndarray, tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey values 1..255 inside the outline and 0 outside, from the mean of each tissue."""
    shape, inside = mean.shape, tissue != _OUTSIDE
    value = _smooth(mean, 0.5)  # partial volume
    value *= 1 + 0.035 * _smooth_noise(shape, rng, 1.5)  # texture
    value *= np.exp(0.08 * _smooth_noise(shape, rng, 0.3 * min(shape)))  # bias field of the coil
    value += rng.normal(0, 4, shape)
    return np.where(inside, np.clip(np.rint(value), 1, 255), 0).astype(np.uint8)


def _smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Gaussian noise smoothed over `sigma` voxels, then of mean 0 and standard deviation 1."""
    smooth = _smooth(rng.normal(size=shape), sigma)
    return (smooth - smooth.mean()) / smooth.std()


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing by Fourier transform; opposite borders touch, where phantoms are empty anyway."""
    frequencies = np.meshgrid(*[np.fft.fftfreq(n) for n in values.shape], indexing="ij")
    squared = sum(frequency**2 for frequency in frequencies)
    return np.fft.ifftn(np.fft.fftn(values) * np.exp(-2 * (np.pi * sigma) ** 2 * squared)).real


def _column(values: Sequence[float] | np.ndarray, dims: int) -> np.ndarray:
    """Three numbers, shaped to meet positions (3, *s)."""
    return np.asarray(values, dtype=np.float64).reshape(3, *[1] * dims)


def _write_subject(
    folder: Path, index: int, modalities: Sequence[str], shape: tuple[int, ...], seed: int, spacing: float
) -> None:
    images, labels = make_subject(index, modalities=modalities, shape=shape, seed=seed)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    for number, image in enumerate(images):
        name = f"{_key(index, number, modalities)}.nii.gz"
        write_nifti(folder / "images" / name, image, affine)
        write_nifti(folder / "labels" / name, labels, affine)


def _key(index: int, modality: int, modalities: Sequence[str]) -> str:
    return f"phantom_{index + 1:03d}" + (f"_{modality:04d}" if len(modalities) > 1 else "")


def _describe(subjects: int, modalities: Sequence[str], shape: tuple[int, ...], spacing: float) -> dict[str, object]:
    """The content of dataset.json, in the form of the Learn2Reg challenge."""
    held = max(2, round(0.2 * subjects))
    splits = {
        "train": range(subjects - 2 * held),
        "val": range(subjects - 2 * held, subjects - held),
        "test": range(subjects - held, subjects),
    }
    names = {split: [_key(i, 0, ("",)) for i in members] for split, members in splits.items()}
    last = len(modalities) - 1
    pairs = {
        f"{split}_pairs": sample_pairs(
            [(_key(one, 0, modalities), _key(other, last, modalities)) for one, other in permutations(splits[split], 2)]
        )
        for split in ("val", "test")
    }
    stems = [_key(i, number, modalities) for i in splits["train"] for number in range(len(modalities))]
    return {
        "name": "phantoms",
        "description": "generated heads with known labels",
        "licence": "CC0 1.0",
        "tensorImageSize": f"{len(shape)}D",
        "tensorImageShape": list(shape),
        "voxelSizeMm": [spacing] * len(shape),
        "modality": {str(number): modality for number, modality in enumerate(modalities)},
        "labels": {str(number): name for number, name in LABEL_NAMES.items()},
        "registration_direction": "pairs are [fixed, moving]",
        "numTraining": len(splits["train"]),
        "numVal": held,
        "numTest": held,
        "training": [{"image": f"images/{stem}.nii.gz", "label": f"labels/{stem}.nii.gz"} for stem in stems],
        **names,
        **pairs,
    }


def _check_arguments(subjects: int, modalities: Sequence[str], shape: tuple[int, ...], spacing: float) -> None:
    if subjects < _SMALLEST:
        raise DataError(f"phantoms: subjects: expected at least {_SMALLEST} (two a split), got {subjects}")
    if not modalities or len(set(modalities)) < len(modalities) or not set(modalities) <= set(CONTRASTS):
        raise DataError(f"phantoms: modalities: expected some of {', '.join(CONTRASTS)}, got {list(modalities)}")
    if len(shape) not in (2, 3) or min(shape) < 16:
        raise DataError(f"phantoms: shape: expected 2 or 3 sizes of at least 16, got {tuple(shape)}")
    if not 0 < spacing < float("inf"):
        raise DataError(f"phantoms: spacing: expected millimetres above 0, got {spacing}")
