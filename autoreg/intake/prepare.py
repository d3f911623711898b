"""`autoreg data prepare`: all volumes on one grid, in one range of intensities, aligned to one subject."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from autoreg.data.dataset import SPLITS, Dataset, load_dataset
from autoreg.data.entries import EXPLICIT, Entry
from autoreg.data.landmarks import read_landmarks, write_landmarks
from autoreg.data.nifti import read_image, read_labels, write_nifti
from autoreg.errors import DataError, InputError
from autoreg.files import whole_file
from autoreg.intake.grid import common_grid
from autoreg.metrics import dice
from autoreg.transforms.apply import resample
from autoreg.transforms.itk import align, write_affine
from autoreg.transforms.transform import AffineTransform, Geometry

_RECORD = "preparation.json"
_CARRIED = ("name", "labels", "modality", "subjects", "same_subject_rescans", "roles")
_TOP = 1000  # of intensities


@dataclass(frozen=True)
class Preparation:
    """What is asked for.

    Attributes:
        spacing: mm, one number or one an axis; None is the reference's.
        shape: voxels by axis; None holds the reference's foreground and a tenth more, in multiples of 16.
        affine: align every subject to the reference; else headers are believed.
        reference: the subject that the others are aligned to; None is the train subject of median size.
    """

    spacing: tuple[float, ...] | None = None
    shape: tuple[int, ...] | None = None
    affine: bool = True
    reference: str | None = None


def prepare_dataset(
    path: Path,
    output: Path,
    preparation: Preparation,
    *,
    progress: Callable[..., None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes a data set with all volumes on one grid; a second call goes on where the first stopped.

    `output` then holds images/, labels/, points/ (landmarks), dataset.json, and what is needed to go back:
    transforms/SUBJECT.tfm takes points of the prepared to points of the original image, SUBJECT_back.tfm the other
    way, and preparation.json has the original geometry of every file and the overlap with the reference before and
    after.

    Args:
        path: dataset.json of the originals.
        output: a new folder, or one that was begun with the same settings.
        progress: called with subjects done and their number.

    Returns:
        What to tell.

    Raises:
        InputError: if the settings or a file cannot be used, or the folder holds something else.
    """
    dataset = load_dataset(path)
    record = _open_record(dataset, output, preparation)
    reference = dataset.entries[record["reference"]]
    raw, affine = read_image(reference.image_path)
    grid = common_grid(raw, affine, spacing=preparation.spacing, shape=preparation.shape)
    labels = read_labels(reference.label_path)[0] if reference.label_path else None
    target = _Target(grid, raw, Geometry(raw.shape, affine), labels)
    subjects = sorted({entry.subject for entry in dataset.entries.values()})
    for done, subject in enumerate(subjects, start=1):
        if subject not in record["subjects"]:
            record["subjects"][subject] = _prepare_subject(dataset, subject, target, output, preparation)
            _write_json(output / _RECORD, record)
        progress(done, len(subjects))
    _write_json(output / "dataset.json", _described(dataset))
    return _told(record, grid, output)


@dataclass(frozen=True)
class _Target:
    """What every subject is brought to: the grid, and image and labels of the reference as they came."""

    grid: Geometry
    image: np.ndarray
    geometry: Geometry
    labels: np.ndarray | None


def _open_record(dataset: Dataset, output: Path, preparation: Preparation) -> dict[str, Any]:
    """What was done before, or a new record with the reference chosen."""
    asked = {"source": str(dataset.path.resolve()), **json.loads(json.dumps(asdict(preparation)))}
    path = output / _RECORD
    if path.exists():
        record = json.loads(path.read_text())
        if record["settings"] != asked:
            raise InputError(f"{path}: settings: expected those of this call, to go on, got others; name a new folder")
        return record
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: folder: expected a new or empty one, got one with files and no {_RECORD}")
    record = {"settings": asked, "reference": _reference(dataset, preparation.reference).key, "subjects": {}}
    for folder in ("images", "labels", "transforms"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    _write_json(path, record)
    return record


def _reference(dataset: Dataset, subject: str | None) -> Entry:
    """The scan of a subject in the first modality; by default of who is of median size among the train subjects."""
    if subject is not None:
        if not dataset.scans(subject):
            raise InputError(f"--reference: expected a subject of {dataset.path}, got {subject}")
        return _first(dataset, subject)
    candidates = dataset.train or dataset.val or dataset.test
    sizes = {}
    for candidate in candidates:
        image, affine = read_image(_first(dataset, candidate).image_path)
        voxel = np.prod(np.linalg.norm(affine[:3, : image.ndim], axis=0))
        sizes[candidate] = (not dataset.labelled(candidate), float(voxel * (image > image.min()).sum()))
    ranked = sorted(sizes, key=lambda candidate: (*sizes[candidate], candidate))
    labelled = [candidate for candidate in ranked if not sizes[candidate][0]] or ranked
    return _first(dataset, labelled[(len(labelled) - 1) // 2])


def _first(dataset: Dataset, subject: str) -> Entry:
    scans = dataset.scans(subject)
    return scans[min(scans)]


def _prepare_subject(
    dataset: Dataset, subject: str, target: _Target, output: Path, preparation: Preparation
) -> dict[str, Any]:
    """Writes the subject's scans, label maps and transforms; returns what the record says of them."""
    first = _first(dataset, subject)
    raw, affine = read_image(first.image_path)
    geometry = Geometry(raw.shape, affine)
    if raw.ndim != target.image.ndim:
        raise DataError(
            f"{first.image_path}: dimensions: expected {target.image.ndim} as the reference's, got {raw.ndim}"
        )
    transform = AffineTransform(np.eye(4))
    if preparation.affine:
        try:
            transform = align(target.image, target.geometry, raw, geometry)
        except DataError as error:
            raise DataError(f"{first.image_path}: {error}") from error
    back = AffineTransform(np.linalg.inv(transform.matrix))
    write_affine(output / "transforms" / f"{subject}.tfm", transform, dims=raw.ndim)
    write_affine(output / "transforms" / f"{subject}_back.tfm", back, dims=raw.ndim)
    scans = dataset.scans(subject).values()
    files = {entry.key: _prepare_scan(entry, transform, target.grid, output) for entry in scans}
    for key in (entry.key for entry in scans if entry.key in dataset.points):
        landmarks = read_landmarks(dataset.points[key])
        moved = replace(landmarks, positions=back.at(landmarks.positions))
        write_landmarks(output / "points" / f"{key}.csv", moved)
    return {
        "files": files,
        "affine": transform.matrix.tolist(),
        "overlap_before": _overlap(first, AffineTransform(np.eye(4)), target),
        "overlap_after": _overlap(first, transform, target),
    }


def _prepare_scan(entry: Entry, transform: AffineTransform, grid: Geometry, output: Path) -> dict[str, Any]:
    raw, affine = read_image(entry.image_path)
    original = Geometry(raw.shape, affine)
    values = _normalised(raw)
    seen = resample(_smoothed(values, original, grid), original, transform, grid)
    write_nifti(output / "images" / f"{entry.key}.nii.gz", np.rint(seen).astype(np.int16), grid.affine)
    if entry.label_path:
        labels, label_affine = read_labels(entry.label_path)
        moved = resample(labels, Geometry(labels.shape, label_affine), transform, grid, labels=True)
        write_nifti(output / "labels" / f"{entry.key}.nii.gz", moved, grid.affine)
    voxels = abs(np.linalg.det(grid.affine) / np.linalg.det(affine) * np.linalg.det(transform.matrix))
    return {
        "image": str(entry.image_path.resolve()),
        "labels": str(entry.label_path.resolve()) if entry.label_path else None,
        "shape": list(raw.shape),
        "affine": affine.tolist(),
        "kept_percent": round(100 * min(1.0, float(np.sum(seen) * voxels / np.sum(values))), 2),
    }


def _normalised(raw: np.ndarray) -> np.ndarray:
    """0..1000: from 0, or the lowest half percent where there are negative values, to the highest 0.1 percent."""
    low = min(0.0, float(np.percentile(raw, 0.5)))
    above = raw[raw > low]
    high = float(np.percentile(above, 99.9)) if above.size else low + 1
    return np.clip((raw - low) * (_TOP / (high - low)), 0, _TOP).astype(np.float32)


def _smoothed(values: np.ndarray, original: Geometry, grid: Geometry) -> np.ndarray:
    """Blurred along axes that become coarser, so that no detail turns into a false one."""
    dims = values.ndim
    ratio = np.linalg.norm(grid.affine[:3, :dims], axis=0).mean() / np.linalg.norm(original.affine[:3, :dims], axis=0)
    widths = (
        np.sqrt(np.maximum(ratio**2 - 1, 0)) / 2.355
    )  # voxels are about as wide as a Gauss curve at half its height
    return ndimage.gaussian_filter(values, widths) if widths.max() > 0.2 else values


def _overlap(entry: Entry, transform: AffineTransform, target: _Target) -> float | None:
    """Mean Dice with the reference, on its own grid, over the labels that either has."""
    if entry.label_path is None or target.labels is None:
        return None
    labels, affine = read_labels(entry.label_path)
    seen = resample(labels, Geometry(labels.shape, affine), transform, target.geometry, labels=True)
    numbers = sorted(({*np.unique(seen).tolist()} | {*np.unique(target.labels).tolist()}) - {0})
    return round(float(np.mean(np.nan_to_num(dice(target.labels, seen, numbers)))), 4) if numbers else None


def _described(dataset: Dataset) -> dict[str, Any]:
    """dataset.json of the prepared files: the same people, splits, pairs and names."""
    source = json.loads(dataset.path.read_text())
    described = {field: source[field] for field in (*_CARRIED, *dataset.pair_lists) if field in source}
    if dataset.points:
        described["points"] = {key: f"points/{key}.csv" for key in dataset.points}
    for split in SPLITS:
        members = dataset.split(split)
        described[split] = list(members)
        described[EXPLICIT[split]] = [_files(e) for e in dataset.entries.values() if e.subject in members]
    return described


def _files(entry: Entry) -> dict[str, str]:
    files = {"image": f"images/{entry.key}.nii.gz"}
    if entry.label_path:
        files["label"] = f"labels/{entry.key}.nii.gz"
    if entry.key != entry.subject:
        files |= {"subject": entry.subject, "modality": entry.modality}
    return files


def _told(record: dict[str, Any], grid: Geometry, output: Path) -> dict[str, Any]:
    done = record["subjects"]
    spacing = np.linalg.norm(grid.affine[:3, : len(grid.shape)], axis=0)
    told: dict[str, Any] = {
        "subjects": len(done),
        "reference": record["reference"],
        "grid": f"{'x'.join(map(str, grid.shape))} of {'x'.join(f'{mm:.3g}' for mm in spacing)} mm",
    }
    others = {s: row for s, row in done.items() if row["overlap_after"] is not None and row["overlap_after"] < 1}
    if others:
        before, after = (np.mean([row[f"overlap_{when}"] for row in others.values()]) for when in ("before", "after"))
        worse = [s for s, row in others.items() if row["overlap_after"] < row["overlap_before"] - 0.02]
        told["overlap"] = f"{before:.3f} before, {after:.3f} after (mean Dice with the reference)"
        if worse:
            told["note"] = f"less overlap than before: {', '.join(worse[:8])}{' ...' if len(worse) > 8 else ''}"
    cut = [key for row in done.values() for key, file in row["files"].items() if file["kept_percent"] < 95]
    if cut:
        told["cut off"] = f"more than 5 percent of {', '.join(cut[:8])}{' ...' if len(cut) > 8 else ''}; try --shape"
    return told | {"written": output / "dataset.json", "by subject": output / _RECORD}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
