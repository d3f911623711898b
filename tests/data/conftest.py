"""Tiny datasets written by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.data.nifti import write_nifti

RAMP = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

WriteDataset = Callable[..., Path]


@pytest.fixture
def write_dataset(tmp_path: Path) -> WriteDataset:
    """Writes a ramp and a label map for each key, and a dataset.json with the given fields."""

    def write(keys: list[str], *, labelled: bool | list[str] = True, **fields: Any) -> Path:
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for key in keys:
            write_nifti(tmp_path / "images" / f"{key}.nii.gz", RAMP, np.eye(4))
            if labelled is True or (labelled and key in labelled):
                write_nifti(tmp_path / "labels" / f"{key}.nii.gz", (RAMP > 12).astype(np.uint8), np.eye(4))
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps({"name": "tiny", "labels": {"0": "background", "1": "half"}, **fields}))
        return path

    return write
