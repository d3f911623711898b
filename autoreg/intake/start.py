"""`autoreg data init`: a dataset.json and a contact sheet of a folder."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoreg.data.dataset import load_dataset
from autoreg.errors import InputError
from autoreg.files import result_file
from autoreg.intake.describe import describe, label_names, modality_codes
from autoreg.intake.draw import check_fractions, draw_splits
from autoreg.intake.sheet import save_sheet
from autoreg.intake.survey import Survey, survey

_SPLIT = (0.7, 0.15, 0.15)


def init_dataset(
    folder: Path,
    *,
    images: Sequence[str] = (),
    labels: Sequence[str] = (),
    output: Path | None = None,
    split: Sequence[float] = _SPLIT,
    seed: int = 0,
    progress: Callable[..., None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes a dataset.json for the NIfTI files below a folder, and a contact sheet beside it; returns what to tell.

    Args:
        images: patterns of image files, such as "raw/{subject}_{modality}.nii.gz"; none: guessed from names.
        labels: patterns of label maps; guessed from names and content.
        output: the file to write, in `folder` itself, as a data set's files lie inside its folder.
        split: shares of train, val and test.
        seed: of the draw.
        progress: called with files read and their number.

    Raises:
        InputError: if the file or its contact sheet exists, or the folder holds nothing that can be used.
    """
    output = output or folder / "dataset.json"
    picture = output.with_suffix(".png")
    check_fractions(split)
    if output.resolve().parent != folder.resolve():
        raise InputError(f"{output}: --output: expected a file in {folder}, as a data set's files lie in its folder")
    for path in (output, picture):
        if path.exists():
            raise InputError(f"{path}: file: expected none yet, got one; move it away, or name another with --output")
    found = survey(folder, images=images, labels=labels, progress=progress)
    people: dict[str, bool] = {}
    for scan in found.scans:
        people[scan.person] = people.get(scan.person, False) or scan.labels is not None
    splits, notes = draw_splits(people, split, seed)
    described = describe(found, name=folder.resolve().name, names=label_names(folder), splits=splits)
    _write(output, json.dumps(described, indent=1) + "\n")
    save_sheet(load_dataset(output), picture)
    return _told(found, described, notes) | {"written": output, "contact sheet": picture, "next": _next(found, output)}


def _told(found: Survey, described: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    codes = modality_codes(found.scans)
    names = [modality or "image" for modality in codes]
    with_labels = sum(scan.labels is not None for scan in found.scans)
    told: dict[str, Any] = {
        "images": f"{len(found.scans)} of {len({s.subject for s in found.scans})} subjects "
        f"({len({s.person for s in found.scans})} people)",
        "modalities": ", ".join(f"{name} ({code})" for name, code in zip(names, codes.values(), strict=True)),
        "label maps": f"{with_labels}; labels {_ranges(found.numbers)}" if with_labels else "none",
        "shapes": ", ".join(f"{'x'.join(map(str, shape))} ({count})" for shape, count in found.shapes.items()),
        "splits": ", ".join(f"{split} {len(described[split])}" for split in ("train", "val", "test")),
    }
    missing = [s for s, count in Counter(scan.subject for scan in found.scans).items() if count < len(codes)]
    if missing:
        notes = [*notes, f"not every modality of {len(missing)} subjects, such as {missing[0]}"]
    if len(codes) > 1:
        notes = [*notes, "pairs need --set 'data.fixed_modality=\"CODE\"' and the same for data.moving_modality"]
    told |= {"guessed": "; ".join(found.guesses)} if found.guesses else {}
    told |= {"note": "; ".join(notes)} if notes else {}
    return told | ({"not placed": _listed(found.unplaced)} if found.unplaced else {})


def _next(found: Survey, output: Path) -> str:
    if found.common_grid:
        return f"look at the contact sheet, then: autoreg data check {output}"
    return f"look at the contact sheet, then: autoreg data prepare {output} OUT (grids differ)"


def _ranges(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:12]))
    return f"{text}, ... {numbers[-1]} ({len(numbers)} in all)" if len(numbers) > 12 else text or "none but background"


def _listed(lines: Sequence[str], most: int = 10) -> str:
    rest = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([f"{len(lines)} files", *lines[:most], *rest])


def _write(path: Path, text: str) -> None:
    try:
        path.touch(exist_ok=False)  # never over a file that came meanwhile
    except OSError as error:
        raise InputError(f"{path}: file: cannot be written: {error.strerror}") from error
    try:
        with result_file(path) as file:
            file.write(text.encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
