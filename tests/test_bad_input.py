"""Bad files, tried as a user meets them: one line that names file and field, code 2, before any training."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"


def _first(folder: Path, kind: str) -> Path:
    return sorted((folder / kind).glob("*.nii.gz"))[0]


def _save(path: Path, values: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path.name


def truncated(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(path.read_bytes()[:2000])
    return path.name


def not_nifti(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(gzip.compress(b"no volume at all"))
    return path.name


def empty(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(b"")
    return path.name


def nan_volume(folder: Path) -> str:
    values = np.ones((24, 24, 24), dtype=np.float32)
    values[3, 4, 5] = np.nan
    return _save(_first(folder, "images"), values)


def labels_of_another_shape(folder: Path) -> str:
    return _save(_first(folder, "labels"), np.ones((24, 24, 20), dtype=np.uint8))


def labels_with_fractions(folder: Path) -> str:
    return _save(_first(folder, "labels"), np.full((24, 24, 24), 0.5, dtype=np.float32))


def four_axes(folder: Path) -> str:
    return _save(_first(folder, "images"), np.ones((24, 24, 24, 2), dtype=np.float32))


def missing_file(folder: Path) -> str:
    path = _first(folder, "images")
    path.unlink()
    return path.name


def _edit(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "dataset.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def missing_id(folder: Path) -> str:
    _edit(folder, lambda values: values["train"].append("nobody_999"))
    return "nobody_999"


def a_subject_in_two_splits(folder: Path) -> str:
    _edit(folder, lambda values: values["train"].append(values["test"][0]))
    return "train"


def a_path_that_leaves_the_folder(folder: Path) -> str:
    def change(values: dict) -> None:
        values["training"] = [{"image": "../../etc/passwd.nii.gz"}]

    _edit(folder, change)
    return "../../etc/passwd.nii.gz"


def no_json(folder: Path) -> str:
    (folder / "dataset.json").write_text("{ not json")
    return "dataset.json"


BAD = [
    truncated, not_nifti, empty, nan_volume, labels_of_another_shape, labels_with_fractions, four_axes, missing_file,
    missing_id, a_subject_in_two_splits, a_path_that_leaves_the_folder, no_json,
]  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_one_line_names_the_culprit_before_any_work(phantoms, tmp_path, capsys, spoil):
    from autoreg.cli import main

    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    named = spoil(folder)
    output = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        main(["search", str(CONFIG), "--dataset", str(folder / "dataset.json"), "--output", str(output), "--quiet"])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert len(error.splitlines()) == 1
    assert named in error
    assert not output.exists()


def test_check_reports_every_problem_at_once(phantoms, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    images = sorted((folder / "images").glob("*.nii.gz"))
    images[0].write_bytes(images[0].read_bytes()[:2000])
    _save(images[1], np.full((24, 24, 24), np.nan, dtype=np.float32))
    _save(_first(folder, "labels"), np.ones((24, 24, 20), dtype=np.uint8))
    command = [sys.executable, "-m", "autoreg", "data", "check", folder / "dataset.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for path in images[:2]:
        assert path.name in done.stderr


def test_a_torn_model_is_named(tmp_path, capsys):
    from autoreg.cli import main

    (tmp_path / "model.pt").write_bytes(b"torn")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(tmp_path), "--dataset", "nowhere.json"])
    assert ended.value.code == 2
    assert "model.pt" in capsys.readouterr().err
