"""Everything that is wrong with a dataset, and a short look at what it holds."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.data.dataset import DEFAULTS, SPLITS, DataConfig, Dataset, read_dataset
from autoreg.data.entries import Entry
from autoreg.data.nifti import read_geometry, read_image, read_labels
from autoreg.data.splits import ROLES, split_roles
from autoreg.errors import DataError

_AFFINE_TOLERANCE = 1e-3


def check_dataset(path: str | Path, config: DataConfig = DEFAULTS) -> list[str]:
    """Every problem of a dataset, one line each with file and field; empty if it can be used.

    Opens each file once.
    """
    try:
        dataset, problems = read_dataset(path, config)
    except DataError as error:
        return [str(error)]
    shapes: dict[Path, tuple[int, ...]] = {}
    for entry in dataset.entries.values():
        problems += _check_entry(entry, dataset.label_names, shapes)
    usual = Counter(shapes.values()).most_common(1)
    problems += [
        f"{file}: shape: expected {usual[0][0]} as most volumes here, got {shape}"
        for file, shape in shapes.items()
        if shape != usual[0][0]
    ]
    return problems


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Counts, shapes, spacings, labels, splits and roles, in plain types for printing; reads headers only.

    `notes` says what is unusual but allowed, such as an empty split.
    """
    geometry = [read_geometry(entry.image_path) for entry in dataset.entries.values()]
    notes = [f"{split} is empty" for split in SPLITS if not dataset.split(split)]
    try:
        drawn = split_roles(dataset, seed=0)
        roles = {role: len(getattr(drawn, role)) for role in (*ROLES, "test")}
        notes += drawn.notes
    except DataError as error:
        roles = {}
        notes.append(f"no search on this dataset: {error}")
    return {
        "name": dataset.name,
        "volumes": len(dataset.entries),
        "people": len(set(dataset.people.values())),
        "labelled_volumes": sum(entry.label_path is not None for entry in dataset.entries.values()),
        "modalities": list(dataset.modalities),
        "shapes": sorted({shape for shape, _ in geometry}),
        "spacings_mm": sorted({_rounded_spacing(shape, affine) for shape, affine in geometry}),
        "labels": dict(sorted(dataset.label_names.items())),
        "splits": {split: len(dataset.split(split)) for split in SPLITS},
        "pairs": {field: len(pairs) for field, pairs in dataset.pair_lists.items()},
        "roles": roles,
        "notes": notes,
    }


def _check_entry(entry: Entry, names: dict[int, str], shapes: dict[Path, tuple[int, ...]]) -> list[str]:
    """Problems of one scan; its shape goes into `shapes`."""
    problems = []
    image = affine = None
    try:
        image, affine = read_image(entry.image_path)
        shapes[entry.image_path] = image.shape
        if image.min() == image.max():
            problems.append(f"{entry.image_path}: intensities: expected at least two values, got {image.max():g} only")
    except DataError as error:
        problems.append(str(error))
    if entry.label_path is None:
        return problems
    try:
        labels, label_affine = read_labels(entry.label_path)
    except DataError as error:
        return [*problems, str(error)]
    unnamed = sorted(set(np.unique(labels).tolist()) - names.keys() - {0})
    if unnamed:
        problems.append(f"{entry.label_path}: labels: expected numbers named in dataset.json, got {unnamed}")
    if image is not None and labels.shape != image.shape:
        problems.append(f"{entry.label_path}: shape: expected the image's {image.shape}, got {labels.shape}")
    if affine is not None and not np.allclose(label_affine, affine, rtol=0, atol=_AFFINE_TOLERANCE):
        largest = np.abs(label_affine - affine).max()
        problems.append(f"{entry.label_path}: affine: expected the image's, got a difference of {largest:.3g}")
    return problems


def _rounded_spacing(shape: tuple[int, ...], affine: np.ndarray) -> tuple[float, ...]:
    lengths = np.linalg.norm(affine[:3, : len(shape)], axis=0)
    return tuple(round(float(length), 4) for length in lengths)
