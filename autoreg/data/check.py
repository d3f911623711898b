"""Everything that is wrong with a dataset, and a short look at what it holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.data.content import note_on_image
from autoreg.data.dataset import DEFAULTS, SPLITS, DataConfig, Dataset, Split, read_dataset
from autoreg.data.entries import Entry
from autoreg.data.landmarks import pair_landmarks, read_landmarks
from autoreg.data.nifti import read_geometry, read_image, read_labels
from autoreg.data.splits import ROLES, split_roles
from autoreg.errors import DataError

_AFFINE_TOLERANCE = 1e-3
_MOST_NUMBERS = 5


@dataclass
class Findings:
    """What was found in a dataset, one line each.

    Attributes:
        problems: for which it cannot be used, with file and field.
        warnings: what looks wrong, and is allowed.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_dataset(path: str | Path, config: DataConfig = DEFAULTS) -> list[str]:
    """Every problem of a dataset, one line each with file and field; empty if it can be used."""
    return inspect_dataset(path, config).problems


def inspect_dataset(path: str | Path, config: DataConfig = DEFAULTS) -> Findings:
    """Every problem of a dataset, and what looks like one. Opens each file once."""
    try:
        dataset, problems = read_dataset(path, config)
    except DataError as error:
        return Findings([str(error)])
    shapes: dict[Path, tuple[int, ...]] = {}
    found = Findings(problems)
    for entry in dataset.entries.values():
        _check_entry(entry, dataset.label_names, shapes, found)
    found.problems += _check_points(dataset)
    usual = Counter(shapes.values()).most_common(1)
    found.problems += [
        f"{file}: shape: expected {usual[0][0]} as most volumes here, got {shape}"
        for file, shape in shapes.items()
        if shape != usual[0][0]
    ]
    return found


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


def _check_entry(entry: Entry, names: dict[int, str], shapes: dict[Path, tuple[int, ...]], found: Findings) -> None:
    """Adds what is wrong with one scan to `found`, and its shape to `shapes`."""
    problems = found.problems
    image = affine = None
    try:
        image, affine = read_image(entry.image_path)
        shapes[entry.image_path] = image.shape
        if image.min() == image.max():
            problems.append(f"{entry.image_path}: intensities: expected at least two values, got {image.max():g} only")
        if note := note_on_image(entry.image_path, image):
            found.warnings.append(note)
    except DataError as error:
        problems.append(str(error))
    if entry.label_path is None:
        return
    try:
        labels, label_affine = read_labels(entry.label_path)
    except DataError as error:
        problems.append(str(error))
        return
    unnamed = sorted(set(np.unique(labels).tolist()) - names.keys() - {0})
    if unnamed:
        problems.append(f"{entry.label_path}: labels: expected numbers named in dataset.json, got {_some(unnamed)}")
    if image is not None and labels.shape != image.shape:
        problems.append(f"{entry.label_path}: shape: expected the image's {image.shape}, got {labels.shape}")
    if affine is not None and not np.allclose(label_affine, affine, rtol=0, atol=_AFFINE_TOLERANCE):
        largest = np.abs(label_affine - affine).max()
        problems.append(f"{entry.label_path}: affine: expected the image's, got a difference of {largest:.3g}")


def _check_points(dataset: Dataset) -> list[str]:
    """One line for each table of landmarks that cannot be read, else for the first pair whose tables do not match."""
    problems = []
    for path in dataset.points.values():
        try:
            read_landmarks(path)
        except DataError as error:
            problems.append(str(error))
    if problems or not dataset.points:
        return problems
    try:
        pair_landmarks(dataset, [pair for split in SPLITS for pair in _pairs(dataset, split)])
    except DataError as error:
        problems.append(str(error))
    return problems


def _pairs(dataset: Dataset, split: Split) -> list[tuple[str, str]]:
    try:
        return dataset.pairs(split)
    except DataError:  # what is wrong with the pairs was said before
        return []


def _some(numbers: Sequence[int]) -> str:
    """The first few numbers, and how many there are."""
    more = f", ... ({len(numbers)} in all)" if len(numbers) > _MOST_NUMBERS else ""
    return ", ".join(map(str, numbers[:_MOST_NUMBERS])) + more


def _rounded_spacing(shape: tuple[int, ...], affine: np.ndarray) -> tuple[float, ...]:
    lengths = np.linalg.norm(affine[:3, : len(shape)], axis=0)
    return tuple(round(float(length), 4) for length in lengths)
