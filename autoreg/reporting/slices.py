"""Slices of a registered pair: kept in a file beside the scores, and drawn for a page with a slider."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.ndimage import zoom

from autoreg.errors import InputError
from autoreg.files import whole_file
from autoreg.reporting.figures.pair import FOLD, checkerboard, jacobian_colours, jacobian_norm, padded_determinant
from autoreg.reporting.page import View, Viewer

FILE = "slices.npz"
_MOST = 40  # slices
_PIXELS = 160  # of the shorter side at least
_FIXED, _WARPED = "#56B4E9", "#E69F00"  # outlines
_INK = "#0072B2"
_ARRAYS = ("fixed", "moving", "warped", "in_plane", "determinant", "indices", "spacing")
_LABELS = ("fixed_labels", "warped_labels")


@dataclass(frozen=True)
class Slices:
    """Slices of a pair along the last axis, at most 40, evenly spread; a 2-D image is one slice.

    Attributes:
        title: the pair in words.
        arrays: images `fixed`, `moving`, `warped` (i, j, n) in 0 to 1; `determinant` of x + u(x), NaN at the border;
            `in_plane` (2, i, j, n), both components within the slice, voxels; `indices` (n,); `spacing` (2,), mm;
            `fixed_labels` and `warped_labels` (i, j, n) where there are labels.
    """

    title: str
    arrays: Mapping[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Write them with half precision."""
        small = {k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in self.arrays.items()}
        small["title"] = np.array(json.dumps(self.title))
        with whole_file(path) as file:
            np.savez_compressed(file, **small)  # type: ignore[arg-type]


def take_slices(
    fixed: np.ndarray,
    moving: np.ndarray,
    warped: np.ndarray,
    displacement: np.ndarray,
    *,
    title: str,
    spacing: tuple[float, ...],
    labels: tuple[np.ndarray, np.ndarray] | None = None,
) -> Slices:
    """Slices of a registered pair.

    Args:
        fixed: intensities, (*s); `moving` and `warped` likewise, on the same grid.
        displacement: (d, *s), voxels.
        spacing: of the voxels, mm.
        labels: label maps of the fixed and the warped image.
    """
    depth = fixed.shape[2] if fixed.ndim == 3 else 1
    indices = np.unique(np.linspace(0, depth - 1, min(depth, _MOST)).round().astype(int))

    def some(volume: np.ndarray) -> np.ndarray:
        return volume[..., indices] if fixed.ndim == 3 else volume[..., None]

    top = float(max(fixed.max(), moving.max())) or 1.0
    arrays = {name: some(v) / top for name, v in (("fixed", fixed), ("moving", moving), ("warped", warped))}
    arrays |= {"in_plane": some(displacement[:2]), "determinant": some(padded_determinant(displacement))}
    if labels:
        arrays |= {name: some(v) for name, v in zip(_LABELS, labels, strict=True)}
    return Slices(title, arrays | {"indices": indices, "spacing": np.array(spacing[:2], dtype=np.float32)})


def read_slices(path: Path) -> Slices:
    """What `Slices.save` wrote; nothing is unpickled. Raises InputError when it is torn or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*_ARRAYS, *_LABELS) if name in file}
            title = str(json.loads(str(file["title"])))
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise KeyError(missing[0])
    except Exception as error:  # a torn archive fails in many ways
        raise InputError(f"{path}: expected slices of a pair, got {type(error).__name__}: {error}") from error
    return Slices(title, {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in arrays.items()})


def slice_viewer(slices: Slices) -> Viewer:
    """Pictures of all slices, one above the other, for a page that shows one at a time."""
    arrays = slices.arrays
    fixed, moving, warped = (np.clip(arrays[name], 0, 1) for name in ("fixed", "moving", "warped"))
    times = max(1, -(-_PIXELS // min(fixed.shape[:2])))
    drawn = {
        "fixed": _grey(fixed),
        "moving": _grey(moving),
        "warped": _grey(warped),
        "fixed / warped, checkerboard": _grey(_boards(fixed, warped)),
        "fixed - moving": _difference(fixed - moving),
        "fixed - warped": _difference(fixed - warped),
        "Jacobian": _jacobian(arrays["determinant"]),
    }
    views = [_view(name, _enlarged(tones.shades, times), tones.colours) for name, tones in drawn.items()]
    if all(name in arrays for name in _LABELS):
        outlined = _outlined(_enlarged(fixed, times), *(_enlarged(arrays[name], times) for name in _LABELS))
        views.insert(3, _view("labels on the fixed image", outlined.shades, outlined.colours))
    grid = _grid(arrays["in_plane"], times)
    views.append(_view("deformation grid", grid.shades, grid.colours))
    height, width = fixed.shape[1] * arrays["spacing"][1], fixed.shape[0] * arrays["spacing"][0]
    numbers = [int(index) for index in arrays["indices"]]
    return Viewer(slices.title, _CAPTION, tuple(views), tuple(numbers), float(width / height))


_CAPTION = (
    "Labels: blue outlines of the fixed image, orange ones of the warped. Differences: brown where the fixed image is "
    "darker, purple where it is brighter. Jacobian: purple where the map shrinks, white where it keeps volumes, brown "
    "where it grows, pink where it folds. Grid: lines of the moving image as the fixed one sees them."
)


class _Tones(NamedTuple):
    """Pictures as numbers of colours: small files, and no colour is lost."""

    shades: np.ndarray
    """(i, j, n), uint8"""
    colours: np.ndarray
    """(256, 3) in 0 to 1"""


_GREYS = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)


def _grey(values: np.ndarray) -> _Tones:
    return _Tones((255 * values).round().astype(np.uint8), _GREYS)


def _boards(fixed: np.ndarray, warped: np.ndarray) -> np.ndarray:
    return np.stack([checkerboard(fixed[..., n], warped[..., n]) for n in range(fixed.shape[2])], axis=2)


def _difference(values: np.ndarray) -> _Tones:
    return _Tones(_grey(0.5 + 0.5 * values).shades, colormaps["PuOr"](np.arange(256))[:, :3])


def _jacobian(determinant: np.ndarray) -> _Tones:
    tones = _grey(np.nan_to_num(np.clip(jacobian_norm()(determinant).filled(0.5), 0, 1), nan=0.5))
    shades, colours = np.maximum(tones.shades, 1), jacobian_colours()(np.arange(256))[:, :3]
    shades[determinant <= 0], colours[0] = 0, to_rgb(FOLD)
    return _Tones(shades, colours)


def _outlined(fixed: np.ndarray, of_fixed: np.ndarray, of_warped: np.ndarray) -> _Tones:
    """The image with thin outlines of both label maps."""
    shades, colours = np.minimum(_grey(fixed).shades, 253), _GREYS.copy()
    for number, labels, colour in ((254, of_fixed, _FIXED), (255, of_warped, _WARPED)):
        shades[_edges(labels)] = number
        colours[number] = to_rgb(colour)
    return _Tones(shades, colours)


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels of a label whose neighbour has another."""
    found = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        for step in (1, -1):
            found |= labels != np.roll(labels, step, axis=axis)
    return found & (labels > 0)


def _grid(in_plane: np.ndarray, times: int) -> _Tones:
    """Every n-th line of the moving image's grid, where the fixed image sees it."""
    fine = zoom(in_plane, (1, times, times, 1), order=1, grid_mode=True, mode="nearest")
    every = max(2, round(min(in_plane.shape[1:3]) / 20))
    lines = np.zeros(fine.shape[1:], dtype=bool)
    for axis in (0, 1):
        shape = [-1 if a == axis else 1 for a in range(3)]
        places = (np.arange(fine.shape[axis + 1]) / times).reshape(shape) + fine[axis]
        distance = np.abs((places + every / 2) % every - every / 2)
        slope = np.hypot(np.gradient(places, axis=0), np.gradient(places, axis=1))  # lines as thick everywhere
        lines |= distance < 0.75 * slope
    colours = _GREYS.copy()
    colours[0] = to_rgb(_INK)
    return _Tones(np.where(lines, 0, 255).astype(np.uint8), colours)


def _enlarged(values: np.ndarray, times: int) -> np.ndarray:
    return values.repeat(times, axis=0).repeat(times, axis=1)


def _view(name: str, shades: np.ndarray, colours: np.ndarray) -> View:
    """A picture of all slices, the first on top: first axis to the right, second upwards."""
    tiles = shades.transpose(2, 1, 0)[:, ::-1]
    stacked = Image.fromarray(np.ascontiguousarray(tiles.reshape(-1, tiles.shape[2])))
    stacked.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    stacked.save(file, "PNG", optimize=True)
    return View(name, file.getvalue())
