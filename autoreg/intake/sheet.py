"""A contact sheet: the middle slice of every scan with the contours of its labels."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoreg.data.dataset import Dataset
from autoreg.data.entries import Entry
from autoreg.data.nifti import read_image, read_labels, to_ras
from autoreg.files import result_file

_MOST, _COLUMNS = 40, 8
_COLOURS = colormaps["tab20"]


def contact_sheet(dataset: Dataset) -> Figure:
    """Middle axial slices, right of the person to the right, front up; 2-D images as they are stored.

    At most 40 scans, spread evenly over the sorted keys.
    """
    keys = sorted(dataset.entries)
    keys = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, min(len(keys), _MOST)).astype(int))]
    columns = min(_COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(1.7 * columns, 2.1 * rows + 0.5))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.75 / figure.get_figheight(), hspace=0.25)
    split_of = {subject: split for split in ("train", "val", "test") for subject in dataset.split(split)}
    panels: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.set_axis_off()
    for axes, key in zip(panels, keys, strict=False):
        entry = dataset.entries[key]
        _draw(axes, entry)
        axes.set_title(f"{key}\n{split_of.get(entry.subject, 'in no split')}", fontsize=7)
    shown = f"{len(keys)} of {len(dataset.entries)} scans" if len(keys) < len(dataset.entries) else f"{len(keys)} scans"
    figure.suptitle(f"{dataset.name}: {shown}, middle slice, contours of the labels", fontsize=10)
    return figure


def save_sheet(dataset: Dataset, path: Path) -> Path:
    """Writes the contact sheet as PNG, whole or not at all. Raises StorageError if it cannot be written."""
    sheet = contact_sheet(dataset)
    with result_file(path) as file:
        sheet.savefig(file, format="png", dpi=110)
    return path


def _draw(axes: Axes, entry: Entry) -> None:
    image, affine = read_image(entry.image_path)
    labels = read_labels(entry.label_path)[0] if entry.label_path else None
    picture, contours, spacing = _middle(image, labels, affine)
    low, high = np.percentile(picture, (1, 99.5))
    aspect = spacing[1] / spacing[0]
    axes.imshow(picture.T, origin="lower", cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
    if contours is not None:
        axes.imshow(_outlines(contours).transpose(1, 0, 2), origin="lower", aspect=aspect, interpolation="nearest")


def _middle(
    image: np.ndarray, labels: np.ndarray | None, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """A slice of image and labels, and the spacing of its two axes, mm."""
    if image.ndim == 2:
        return image, labels, np.linalg.norm(affine[:3, :2], axis=0)
    turned, turned_affine = to_ras(image, affine)
    spacing = np.linalg.norm(turned_affine[:3, :2], axis=0)
    if labels is None:
        return turned[..., turned.shape[2] // 2], None, spacing
    turned_labels, _ = to_ras(labels, affine)
    heights = np.nonzero(turned_labels.any(axis=(0, 1)))[0]
    middle = int(np.median(heights)) if heights.size else turned.shape[2] // 2
    return turned[..., middle], turned_labels[..., middle], spacing


def _outlines(labels: np.ndarray) -> np.ndarray:
    """Colours (i, j, 4): of the label where a neighbour has another, transparent elsewhere."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= differs
        edge[tuple(after)] |= differs
    colours = _COLOURS((labels % _COLOURS.N) / _COLOURS.N)
    colours[..., 3] = edge & (labels > 0)
    return colours
