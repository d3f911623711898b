"""One registered pair: images, differences, deformation grid, Jacobian."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from autoreg.reporting.figures.style import COLOURS, new_figure
from autoreg.spatial import jacobian_determinant

FOLD = "#D40078"


def deformation_grid(displacement: np.ndarray) -> Figure:
    """Lines of the fixed grid carried by x + u(x), on the middle slices.

    Args:
        displacement: (d, *s), voxels, components in axis order.
    """
    planes = _planes(displacement.shape[1:])
    figure = new_figure(1.7 * len(planes) + 0.2, 2.1)
    for axes, plane in zip(np.atleast_1d(figure.subplots(1, len(planes))), planes, strict=True):
        _draw_grid(axes, displacement, plane)
        axes.set_title(_plane_name(plane) or "Deformation grid", fontsize=9)
    return figure


_Plane = tuple[int, int] | None
"""(axis, index) of a slice of a volume; None is all of a 2-D image."""


def _planes(shape: Sequence[int]) -> list[_Plane]:
    return [None] if len(shape) == 2 else [(axis, n // 2) for axis, n in enumerate(shape)]


def _plane_name(plane: _Plane) -> str:
    return "" if plane is None else f"axis {plane[0]}, slice {plane[1]}"


def _slice(volume: np.ndarray, plane: _Plane) -> np.ndarray:
    return volume if plane is None else np.take(volume, plane[1], axis=plane[0])


def _in_plane(displacement: np.ndarray, plane: _Plane) -> np.ndarray:
    """The two components of a displacement that lie in a slice, (2, rows, columns)."""
    kept = [axis for axis in range(len(displacement)) if plane is None or axis != plane[0]]
    return np.stack([_slice(displacement[axis], plane) for axis in kept])


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_slice(axes: Axes, values: np.ndarray, **style: Any) -> Any:
    # First axis to the right, second upwards: right-anterior-superior volumes stand upright.
    _bare(axes)
    return axes.imshow(values.T, origin="lower", interpolation="nearest", **style)


def _draw_contours(axes: Axes, labels: np.ndarray | None, plane: _Plane) -> None:
    if labels is None:
        return
    values = _slice(labels, plane)
    for label, colour in zip(np.unique(labels[labels > 0]), cycle(COLOURS[:6]), strict=False):
        if (values == label).any() and (values != label).any():
            axes.contour((values == label).T.astype(float), levels=[0.5], colors=[colour], linewidths=0.9)


def _draw_grid(axes: Axes, displacement: np.ndarray, plane: _Plane) -> None:
    u = _in_plane(displacement, plane)
    rows, columns = u.shape[1:]
    x, y = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij") + u
    every = max(1, round(min(rows, columns) / 24))
    style = {"color": COLOURS[0], "linewidth": 0.7}
    axes.plot(x[:, ::every], y[:, ::every], **style)
    axes.plot(x[::every].T, y[::every].T, **style)
    _bare(axes)
    axes.set_xlim(-0.5, rows - 0.5)
    axes.set_ylim(-0.5, columns - 0.5)


def checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    size = max(2, min(first.shape) // 6)
    parity = sum(index // size for index in np.indices(first.shape)) % 2
    return np.where(parity == 0, first, second)


def overlay(
    fixed: np.ndarray,
    moving: np.ndarray,
    warped: np.ndarray,
    displacement: np.ndarray,
    *,
    labels: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """One registered pair: images, checkerboard, differences, deformation grid, Jacobian with folds marked.

    A volume is shown by its three middle slices, one row a picture; a 2-D image in four rows of two.

    Args:
        fixed: intensities, (*s); `moving` and `warped` likewise, on the same grid.
        displacement: (d, *s), voxels, components in axis order.
        labels: label maps named "fixed", "moving" or "warped", drawn as contours on that image.
    """
    images = {"fixed": fixed, "moving": moving, "warped": warped}
    determinant = padded_determinant(displacement)
    planes = _planes(fixed.shape)
    figure, panels = _overlay_panels(planes)
    top = float(max(image.max() for image in images.values())) or 1.0
    gap = float(max(np.abs(fixed - moving).max(), np.abs(fixed - warped).max())) or 1.0
    for column, plane in enumerate(planes):
        axes = panels[:, column]
        for ax, (name, image) in zip(axes, images.items(), strict=False):
            _draw_slice(ax, _slice(image, plane), cmap="gray", vmin=0, vmax=top)
            _draw_contours(ax, (labels or {}).get(name), plane)
        board = checkerboard(_slice(fixed, plane), _slice(warped, plane))
        _draw_slice(axes[3], board, cmap="gray", vmin=0, vmax=top)
        for ax, other in ((axes[4], moving), (axes[5], warped)):
            picture = _draw_slice(ax, _slice(fixed - other, plane), cmap="PuOr", vmin=-gap, vmax=gap)
        _draw_grid(axes[6], displacement, plane)
        jacobian = _draw_slice(axes[7], _slice(determinant, plane), cmap=jacobian_colours(), norm=jacobian_norm())
    folds = 100 * float(np.mean(determinant[np.isfinite(determinant)] <= 0))
    names = ["fixed", "moving", "warped", "fixed / warped\ncheckerboard", "fixed -\nmoving", "fixed -\nwarped",
             "deformation\ngrid", f"Jacobian (pink:\nfolds, {folds:.2g} %)"]  # fmt: skip
    _name_panels(panels, names, planes)
    _bar(figure, picture, panels[5, -1], "difference")
    _bar(figure, jacobian, panels[7, -1], "det (1: same)", extend="min")
    return figure


def _bar(figure: Figure, picture: Any, axes: Axes, words: str, **style: Any) -> None:
    """A colour bar beside `axes` that leaves the columns of panels aligned."""
    bar = figure.colorbar(picture, cax=axes.inset_axes((1.04, 0.0, 0.05, 1.0)), **style)
    bar.set_label(words, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _overlay_panels(planes: list[_Plane]) -> tuple[Figure, np.ndarray]:
    """Axes as (8 pictures, planes)."""
    if len(planes) == 1:
        figure = new_figure(5.2, 9.4)
        return figure, np.asarray(figure.subplots(4, 2)).reshape(8, 1)
    figure = new_figure(5.4, 12.2)
    return figure, np.asarray(figure.subplots(8, len(planes)))


def _name_panels(panels: np.ndarray, names: Sequence[str], planes: list[_Plane]) -> None:
    for row, name in zip(panels, names, strict=True):
        if len(planes) == 1:
            row[0].set_title(name.replace("\n", " "), fontsize=9)
        else:
            row[0].set_ylabel(name, fontsize=8)
    if len(planes) > 1:
        for ax, plane in zip(panels[0], planes, strict=True):
            ax.set_title(_plane_name(plane), fontsize=8)


def padded_determinant(displacement: np.ndarray) -> np.ndarray:
    """det of x + u(x) on the full grid; NaN at the border, where it is not known."""
    field = torch.from_numpy(np.ascontiguousarray(displacement, dtype=np.float32)).unsqueeze(0)
    inner = jacobian_determinant(field)[0].numpy()
    return np.pad(inner, 1, constant_values=np.nan)


def jacobian_colours() -> Colormap:
    colours = LinearSegmentedColormap.from_list("jacobian", ["#2D004B", "#F7F7F7", "#7F3B08"])
    return colours.with_extremes(under=FOLD, bad="white")


def jacobian_norm() -> TwoSlopeNorm:
    return TwoSlopeNorm(vmin=float(np.finfo(np.float32).tiny), vcenter=1.0, vmax=3.0)
