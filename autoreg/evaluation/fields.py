"""Displacements on disk as the Learn2Reg challenge's evaluation program reads them."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from autoreg.data.nifti import write_nifti
from autoreg.data.volume import Volume
from autoreg.errors import DataError
from autoreg.files import result_file
from autoreg.registration.model import Model
from autoreg.registration.refine import register_refined
from autoreg.shapes import Displacement

_NUMBERED = re.compile(r"(?:.*?_)?(\d{4})(?:_(\d{4}))?")
_ONLY_MODALITY = "0000"
_MOST_NUMBERS = 10_000


def save_fields(
    folder: str | Path,
    model: Model,
    volumes: Mapping[str, Volume],
    pairs: Sequence[tuple[str, str]],
    *,
    refine: int = 0,
    device: torch.device,
) -> None:
    """Registers every pair and writes its field, with the ids.csv and dataset.json that belong to them.

    Args:
        refine: steps of instance optimisation on every pair.

    Raises:
        DataError: if a pair's volumes differ in shape.
        StorageError: if a file cannot be written.
    """
    numbers = number_keys(key for pair in pairs for key in pair)
    write_index(folder, pairs, numbers, shape=volumes[pairs[0][0]].image.shape)
    for fixed, moving in pairs:
        displacement = register_refined(model, volumes, (fixed, moving), steps=refine, device=device)
        save_field(folder, displacement, volumes[fixed].affine, fixed, moving, numbers)


def save_field(
    folder: str | Path,
    displacement: Displacement | np.ndarray,
    affine: np.ndarray,
    fixed_key: str,
    moving_key: str,
    numbers: Mapping[str, str],
) -> Path:
    """Path of the written field: float32 (*s, d), voxels of the fixed grid, components in axis order.

    warped(x) = moving(x + u(x)); the file is `disp_FFFF_0000_MMMM_0000.nii.gz`, subject and modality of the
    fixed, then of the moving side. Learn2Reg's program ignores the affine, viewers do not.

    Args:
        displacement: (d, *s), or (1, d, *s).
        affine: (4, 4) of the fixed side.
        numbers: of the keys, from `number_keys`.
    """
    field = torch.as_tensor(displacement).detach().cpu().float().numpy()
    if field.shape[0] == 1:  # a batch of one; a field has two components or three
        field = field[0]
    path = Path(folder) / f"disp_{numbers[fixed_key]}_{numbers[moving_key]}.nii.gz"
    write_nifti(path, np.ascontiguousarray(np.moveaxis(field, 0, -1)), affine)
    return path


def number_keys(keys: Iterable[str]) -> dict[str, str]:
    """`SSSS_MMMM`, subject and modality, for every key.

    Keys of that form (`1006`, `OASIS_0001_0000`) keep their own digits, if all have them and none clash;
    otherwise the sorted keys are counted from 0001.

    Raises:
        DataError: if there are more keys than four digits can count.
    """
    ordered = sorted(set(keys))
    if len(ordered) >= _MOST_NUMBERS:
        raise DataError(f"fields: keys: expected fewer than {_MOST_NUMBERS} for four-digit names, got {len(ordered)}")
    matches = [_NUMBERED.fullmatch(key) for key in ordered]
    own = {f"{m[1]}_{m[2] or _ONLY_MODALITY}": key for m, key in zip(matches, ordered, strict=True) if m}
    if len(own) == len(ordered):
        return {key: number for number, key in own.items()}
    return {key: f"{index:04d}_{_ONLY_MODALITY}" for index, key in enumerate(ordered, start=1)}


def write_index(
    folder: str | Path, pairs: Sequence[tuple[str, str]], numbers: Mapping[str, str], *, shape: tuple[int, ...]
) -> None:
    """Writes ids.csv (id, number) and the dataset.json that Learn2Reg's program wants beside the fields."""
    folder = Path(folder)
    description = {
        "name": "AutoReg",
        "tensorImageShape": {"0": list(shape)},
        "registration_val": [{"fixed": _image(numbers[f]), "moving": _image(numbers[m])} for f, m in pairs],
    }
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("id", "number"), *sorted(numbers.items())])
    for name, text in (("dataset.json", json.dumps(description, indent=1) + "\n"), ("ids.csv", table.getvalue())):
        with result_file(folder / name) as file:
            file.write(text.encode())


def _image(number: str) -> str:
    """What the program takes the numbers from; the file itself need not exist."""
    return f"./imagesTr/AutoReg_{number}.nii.gz"
